# SPDX-License-Identifier: Apache-2.0
"""Sorting tokens by group and back, forward and backward, by gathers alone.

T tokens, K groups chosen by each, R = T * K rows, E groups, D and F widths. Plain autodiff turns a
gather into a scatter-add, which is slow on a GPU and slower in bf16; here each token's row is used
exactly K times, and it is known where.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype

# So few are counted by comparisons: on a GPU, what adds to the same few counters waits in turn. A
# CPU would rather scatter, but its batches are small.
FEW_GROUPS = 64


class Sorting(NamedTuple):
    """The R (token, choice) pairs sorted by group, pairs of one group in their own order."""

    group_R: Int[Array, " R"]
    """The group of each sorted row."""
    pair_R: Int[Array, " R"]
    """The pair of each sorted row, t * K + k."""
    row_TK: Int[Array, "T K"]
    """The sorted row of each pair."""


def sort_by_group(groups_TK: Int[Array, "T K"]) -> Sorting:
    """Where each pair's row goes."""
    groups_R = groups_TK.reshape(-1)
    pair_R = jnp.argsort(groups_R, stable=True)
    row_R = jnp.zeros_like(pair_R).at[pair_R].set(jnp.arange(len(pair_R)), unique_indices=True)
    return Sorting(_rows(groups_R, pair_R), pair_R, row_R.reshape(groups_TK.shape))


def group_sizes(groups: Int[Array, "..."], n_groups: int) -> Int[Array, " {n_groups}"]:
    """How often each of 0..n_groups-1 is in `groups`."""
    groups_R = groups.reshape(-1)
    if n_groups <= FEW_GROUPS:
        return jnp.sum(groups_R[:, None] == jnp.arange(n_groups), axis=0, dtype=jnp.int32)
    return jnp.zeros((n_groups,), jnp.int32).at[groups_R].add(1)


@jax.custom_vjp
def spread(x_TD: Float[Array, "T D"], sorting: Sorting) -> Float[Array, "R D"]:
    """Each sorted row's token."""
    return _rows(x_TD, sorting.pair_R // sorting.row_TK.shape[1])


def _spread_forward(x_TD, sorting):  # type: ignore[no-untyped-def]
    return spread(x_TD, sorting), sorting


def _spread_backward(sorting, drows_RD):  # type: ignore[no-untyped-def]
    drows_TKD = _unsort(drows_RD, sorting)
    return drows_TKD.sum(axis=1, dtype=sum_dtype(drows_RD)).astype(drows_RD.dtype), None


@jax.custom_vjp
def combine(
    rows_RD: Float[Array, "R D"], weights_TK: Float[Array, "T K"], sorting: Sorting
) -> Float[Array, "T D"]:
    """y[t] = sum over k of weights[t, k] * the row of (t, k), in fp32 or a wider type."""
    dtype = sum_dtype(rows_RD)
    # Not a matmul: it would round the weights to the rows' type.
    rows_TKD = _unsort(rows_RD, sorting).astype(dtype)
    return (weights_TK[:, :, None].astype(dtype) * rows_TKD).sum(axis=1)


def _combine_forward(rows_RD, weights_TK, sorting):  # type: ignore[no-untyped-def]
    return combine(rows_RD, weights_TK, sorting), (rows_RD, weights_TK, sorting)


def _combine_backward(residuals, dy_TD):  # type: ignore[no-untyped-def]
    rows_RD, weights_TK, sorting = residuals
    # Narrowed before it is spread, to move less.
    weights_R1 = _permute(weights_TK.reshape(-1, 1), sorting.pair_R, sorting.row_TK.reshape(-1))
    drows_RD = weights_R1.astype(dy_TD.dtype) * spread(dy_TD.astype(rows_RD.dtype), sorting)
    rows_TKD = _unsort(rows_RD, sorting).astype(dy_TD.dtype)
    dweights_TK = (rows_TKD * dy_TD[:, None, :]).sum(axis=-1)
    return drows_RD.astype(rows_RD.dtype), dweights_TK.astype(weights_TK.dtype), None


@jax.custom_vjp
def add_group_bias(
    rows_RF: Float[Array, "R F"], bias_EF: Float[Array, "E F"], group_R: Int[Array, " R"]
) -> Float[Array, "R F"]:
    """Each row plus its group's bias."""
    return rows_RF + _rows(bias_EF, group_R)


def _add_group_bias_forward(rows_RF, bias_EF, group_R):  # type: ignore[no-untyped-def]
    return add_group_bias(rows_RF, bias_EF, group_R), (bias_EF, group_R)


def _add_group_bias_backward(residuals, dy_RF):  # type: ignore[no-untyped-def]
    bias_EF, group_R = residuals
    own_ER = jax.nn.one_hot(group_R, len(bias_EF), axis=0, dtype=dy_RF.dtype)
    dbias_EF = jnp.matmul(own_ER, dy_RF, preferred_element_type=sum_dtype(dy_RF))
    return dy_RF, dbias_EF.astype(bias_EF.dtype), None


@jax.custom_vjp
def _permute(rows_R: Array, to_R: Array, back_R: Array) -> Array:
    return _rows(rows_R, to_R)


def _permute_forward(rows_R, to_R, back_R):  # type: ignore[no-untyped-def]
    return _permute(rows_R, to_R, back_R), (to_R, back_R)


def _permute_backward(residuals, drows_R):  # type: ignore[no-untyped-def]
    to_R, back_R = residuals
    return _permute(drows_R, back_R, to_R), None, None


def _unsort(rows_RD: Array, sorting: Sorting) -> Array:
    """(R, D) sorted by group -> (T, K, D)."""
    pairs_RD = _permute(rows_RD, sorting.row_TK.reshape(-1), sorting.pair_R)
    return pairs_RD.reshape(*sorting.row_TK.shape, -1)


def _rows(array: Array, index_R: Array) -> Array:
    return array.at[index_R].get(mode="promise_in_bounds")


spread.defvjp(_spread_forward, _spread_backward)
combine.defvjp(_combine_forward, _combine_backward)
add_group_bias.defvjp(_add_group_bias_forward, _add_group_bias_backward)
_permute.defvjp(_permute_forward, _permute_backward)
