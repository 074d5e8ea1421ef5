# SPDX-License-Identifier: Apache-2.0
"""The three primitives of every layer that picks a few rows of a large table for each token."""

from sgatlin.ops.neurons.api import gather_dot, gather_sum, scatter_outer
from sgatlin.ops.neurons.choose import Implementation

__all__ = ["Implementation", "gather_dot", "gather_sum", "scatter_outer"]
