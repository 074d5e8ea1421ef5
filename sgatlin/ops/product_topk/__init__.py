# SPDX-License-Identifier: Apache-2.0
"""The K best of the M * M sums of one score from each of two halves, exactly."""

from sgatlin.ops.product_topk.api import product_topk, search
from sgatlin.ops.product_topk.xla import topk

__all__ = ["product_topk", "search", "topk"]
