# SPDX-License-Identifier: Apache-2.0
"""The rank of a token's layer: of the linear map W_out^T diag(a) W_in that its neurons make.

a is what multiplies <w_in, x> on its way to the output weights: the gate, if the layer has no
activation. With one the layer is no linear map, and a is the secant act(<w_in, x>, gate) /
<w_in, x>: the map then is the one that gives this token the output it has.

Singular values of a product of D x P and P x D are those of two P x P triangles multiplied, after
a QR of each factor.

n tokens, P chosen neurons of a token, D model, R rows of a table.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Integer

from sgatlin.circuits.model import CircuitModel, effective_rows
from sgatlin.circuits.record import Record
from sgatlin.errors import UserError
from sgatlin.nn.sgatlin import SgatlinConfig, gated_activation

# Tokens at a time: D x P numbers each.
_TOKENS = 256


class Ranks(NamedTuple):
    """Of each token; 0 where all its coefficients are."""

    effective: Float64[np.ndarray, " n"]
    """exp(entropy of the singular values over their sum) (Roy and Vetterli 2007)."""
    stable: Float64[np.ndarray, " n"]
    """Sum of squared singular values over the largest square."""


def layer_ranks(
    model: CircuitModel, record: Record, layer: int, chosen_n: np.ndarray, *, seed: int = 0
) -> tuple[Ranks, Ranks]:
    """Of recorded positions' neurons, and of random ones of the same tables.

    Random neurons have the chosen ones' coefficients; they are whole groups where the layer has
    groups, as the chosen ones are.

    Raises:
      UserError: when the layer has an activation and the record no activations.
    """
    recorded, config = record.rows(layer), model.layer
    scores_nP, z_nP = recorded.values[chosen_n], None
    if config.activation != "identity":
        z_nP = record.activations(layer)[chosen_n]
    a_nP = coefficients(scores_nP, z_nP, config)
    # With one table for all channels, its rows are the neurons.
    rows_nP = recorded.indices[chosen_n] % (config.n_neurons * config.pool_shape[0])
    stacked = model.params["blocks"]["feed_forward"]
    own = {name: np.asarray(stacked[name][layer]) for name in stacked if name != "router"}
    tables = (effective_rows(own["w_in"], own, config), own["w_out"])
    w_in_RD, w_out_RD = (np.asarray(table).reshape(-1, model.config.d_model) for table in tables)
    drawn_nP = random_rows(
        rows_nP, config.n_channels, config.n_neurons, group=config.group, seed=seed
    )
    chosen, random = (ranks(rows, a_nP, w_in_RD, w_out_RD) for rows in (rows_nP, drawn_nP))
    return chosen, random


def spread(found: Ranks) -> dict[str, float]:
    """Mean and standard deviation of each kind."""
    return {
        f"{kind}, {name}": float(number)
        for kind, values in found._asdict().items()
        for name, number in (("mean", values.mean()), ("deviation", values.std()))
    }


def coefficients(
    scores_nP: Float32[np.ndarray, "n P"],
    z_nP: Float32[np.ndarray, "n P"] | None,
    config: SgatlinConfig,
) -> Float32[np.ndarray, "n P"]:
    """a of each chosen neuron; z = <w_in, x> is needed with an activation only.

    0 where z is: such a neuron adds nothing.
    """
    if config.activation == "identity":
        return scores_nP
    assert z_nP is not None
    acted_nP = np.asarray(gated_activation(jnp.asarray(z_nP), jnp.asarray(scores_nP), config))
    return np.where(z_nP == 0, np.float32(0), acted_nP / np.where(z_nP == 0, 1, z_nP))


def ranks(
    rows_nP: Integer[np.ndarray, "n P"],
    a_nP: Float[np.ndarray, "n P"],
    w_in_RD: Float[np.ndarray, "R D"],
    w_out_RD: Float[np.ndarray, "R D"],
) -> Ranks:
    """Of each token's chosen rows with their coefficients."""
    parts = [
        _ranks(singular_values(w_in_RD[rows_nP[at]], a_nP[at], w_out_RD[rows_nP[at]]))
        for start in range(0, len(rows_nP), _TOKENS)
        for at in [slice(start, start + _TOKENS)]
    ]
    if not parts:
        raise UserError("there are no positions to take ranks of: record more")
    return Ranks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def singular_values(
    w_in_nPD: Float[np.ndarray, "n P D"],
    a_nP: Float[np.ndarray, "n P"],
    w_out_nPD: Float[np.ndarray, "n P D"],
) -> Float64[np.ndarray, "n r"]:
    """Of W_out^T diag(a) W_in, largest first; r = min(P, D)."""
    scaled_nPD = w_out_nPD.astype(np.float64) * a_nP[..., None]
    factors = (w_in_nPD.astype(np.float64), scaled_nPD)
    # Triangles of D x P factors: (n, min(P, D), P).
    r_in, r_out = (np.asarray(np.linalg.qr(w.swapaxes(1, 2), mode="r")) for w in factors)
    product: np.ndarray = r_out @ r_in.swapaxes(1, 2)
    return np.linalg.svd(product, compute_uv=False)


def random_rows(
    rows_nP: Integer[np.ndarray, "n P"], tables: int, n_neurons: int, *, group: int = 1, seed: int
) -> Int[np.ndarray, "n P"]:
    """Other neurons of the same tables in whole groups, each token's of a table distinct.

    With one table for all channels those of different channels may coincide, as chosen ones may.
    """
    rng = np.random.default_rng(seed)
    n, p = rows_nP.shape
    drawn = np.empty((n, tables, p // tables // group), np.int64)
    for place in np.ndindex(n, tables):
        drawn[place] = rng.choice(n_neurons // group, drawn.shape[-1], replace=False)
    neurons = (drawn[..., None] * group + np.arange(group)).reshape(n, tables, -1)
    offsets = (rows_nP.reshape(n, tables, -1)[..., :1] // n_neurons) * n_neurons
    return (neurons + offsets).reshape(n, p)


def _ranks(values_nr: np.ndarray) -> Ranks:
    total_n = values_nr.sum(1)
    share_nr = values_nr / np.where(total_n > 0, total_n, 1)[:, None]
    entropy_n = -(share_nr * np.log(np.where(share_nr > 0, share_nr, 1))).sum(1)
    largest_n = np.where(total_n > 0, values_nr[:, 0], 1)
    stable_n = ((values_nr / largest_n[:, None]) ** 2).sum(1)
    return Ranks(np.where(total_n > 0, np.exp(entropy_n), 0), stable_n)
