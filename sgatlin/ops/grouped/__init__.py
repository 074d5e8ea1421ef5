# SPDX-License-Identifier: Apache-2.0
"""Rows sorted by group, each group times a matrix of its own."""

from sgatlin.ops.grouped.api import Implementation, grouped_matmul, grouped_outer

__all__ = ["Implementation", "grouped_matmul", "grouped_outer"]
