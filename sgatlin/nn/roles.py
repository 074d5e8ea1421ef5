# SPDX-License-Identifier: Apache-2.0
"""What a parameter is for, stated where it is declared.

Weight decay, learning rates and optimizers are chosen by role, never by the number of dimensions:
layers are stacked for scanning, so that a norm's scale is a matrix and a table has four axes.
"""

from typing import Any

from flax import nnx


class Matrix(nnx.Param):
    """Weights of a dense projection."""


class Expert(nnx.Param):
    """Weights of the experts of a mixture: dense projections with an expert axis before them."""


class Embedding(nnx.Param):
    """Token embedding, shared with the unembedding."""


class Router(nnx.Param):
    """Queries and keys that choose neurons or experts."""


class Pool(nnx.Param):
    """Tables of single neurons, of which each token uses a few rows."""


class Scale(nnx.Param):
    """Multipliers of a normalisation."""


class Bias(nnx.Param):
    """Additive offsets."""


class Balance(nnx.Param):
    """Offsets that a layer sets from its load after each step; the gradient never moves them."""


def role_tree(state: nnx.State[Any, Any]) -> dict[str, Any]:
    """The parameters' tree with each leaf replaced by its role's name, such as "Pool"."""
    return nnx.to_pure_dict(
        nnx.map_state(lambda _, variable: variable.replace(type(variable).__name__), state)
    )
