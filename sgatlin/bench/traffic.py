# SPDX-License-Identifier: Apache-2.0
"""Bytes that a sparse layer has to move, by theory: the rows that it gathers.

A row counts each time that a token uses it. Most repeated reads come from a cache, so that bytes
per second may exceed what memory can copy. Activations and the router are left out: they are D + P
numbers a token where the rows are P * D.

T tokens, P = C * K rows chosen by each, R = C * N rows of a table, D width.
"""

from typing import NamedTuple

from sgatlin.nn.routing import key_shape
from sgatlin.nn.sgatlin import SgatlinConfig


class Traffic(NamedTuple):
    """Bytes of one layer over `n_tokens` tokens, its tables of `itemsize` bytes a number."""

    config: SgatlinConfig
    d_model: int
    n_tokens: int
    itemsize: int

    @property
    def rows(self) -> int:
        """A row of D numbers for each token and choice: `gather_dot` or `gather_sum`."""
        picks = self.config.n_channels * self.config.top_k
        return self.n_tokens * picks * self.d_model * self.itemsize

    @property
    def table(self) -> int:
        """One table."""
        n_tables, n_neurons = self.config.pool_shape
        return n_tables * n_neurons * self.d_model * self.itemsize

    @property
    def scatter_outer(self) -> int:
        """x[t] for each choice, and the sum of every row written once, in at least four bytes."""
        return self.rows + self.table * max(4, self.itemsize) // self.itemsize

    @property
    def product_topk(self) -> int:
        """The fp32 scores of both halves read; index and score of each group chosen written."""
        halves, side = key_shape(self.config)
        numbers = halves * side + 2 * self.config.top_k // self.config.group
        return self.n_tokens * self.config.n_channels * numbers * 4

    @property
    def forward(self) -> int:
        """Rows of both tables: 2 P D numbers a token."""
        return 2 * self.rows

    @property
    def forward_backward(self) -> int:
        """Six times the rows, and both tables' gradients, in their type, written once.

        The backward pass reads rows of both tables for the gradients of x and of the gates, and x
        and the output's gradient for each choice for those of the tables.
        """
        return 6 * self.rows + 2 * self.table
