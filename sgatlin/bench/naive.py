# SPDX-License-Identifier: Apache-2.0
"""The layer as one would first write it: gather, einsum, `lax.top_k`, and JAX's own gradients.

What every implementation is measured against; the mathematics is that of `sgatlin.nn.sgatlin` with
its default options, and with groups. Forward and backward it stores arrays of shape (T, C, K, D).

T tokens, D model, C channels, N = G * M * M neurons of each, K chosen, G neurons of a group.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.ops.dtypes import sum_dtype


def naive_layer(
    params: Mapping[str, Any],
    x_TD: Float[Array, "T D"],
    config: SgatlinConfig,
    indices_TCK: Int[Array, "T C K"] | None = None,
) -> Float[Array, "T D"]:
    """The layer's output, all of `params` being in x's type.

    With indices, those neurons with the scores of the router's own choice.
    """
    own_TCK, scores_TCK = naive_route(params["router"], x_TD, config)
    indices_TCK = own_TCK if indices_TCK is None else instead_of(own_TCK, indices_TCK)

    channels_C1 = jnp.arange(config.n_channels)[:, None]
    w_in_TCKD = params["w_in"][channels_C1, indices_TCK]
    w_out_TCKD = params["w_out"][channels_C1, indices_TCK]
    z_TCK = jnp.einsum("td,tckd->tck", x_TD, w_in_TCKD, preferred_element_type=sum_dtype(x_TD))
    a_TCK = (scores_TCK * z_TCK).astype(x_TD.dtype)
    return jnp.einsum("tck,tckd->td", a_TCK, w_out_TCKD)


def instead_of(own_TCK: Int[Array, "T C K"], given_TCK: Int[Array, "T C K"]) -> Int[Array, "T C K"]:
    """The given indices, in such a way that the router's own are computed all the same."""
    return jnp.where(own_TCK < 0, own_TCK, given_TCK)  # no compiler knows that none is


def naive_route(
    params: Mapping[str, Any], x_TD: Float[Array, "T D"], config: SgatlinConfig
) -> tuple[Int[Array, "T C K"], Float[Array, "T C K"]]:
    """Indices of the neurons of each group that the router chooses, with the score of the group."""
    scores = jnp.matmul(
        x_TD @ params["query"], params["key"], preferred_element_type=sum_dtype(x_TD)
    )
    scores = scores.reshape(len(x_TD), 2, config.n_channels, -1)  # (T, 2, C, M)
    group, shape = config.group, (len(x_TD), config.n_channels, config.top_k)
    groups, scores = naive_product_topk(scores[:, 0], scores[:, 1], config.top_k // group)
    indices = groups[..., None] * group + jnp.arange(group)
    return indices.reshape(shape), jnp.repeat(scores, group, axis=-1)


def naive_product_topk(
    first_TCM: Float[Array, "T C M"], second_TCM: Float[Array, "T C M"], top_k: int
) -> tuple[Int[Array, "T C K"], Float[Array, "T C K"]]:
    """Indices and values of the K best sums, found among all K * K of both halves' K best."""
    first_TCK, i_TCK = jax.lax.top_k(first_TCM, top_k)
    second_TCK, j_TCK = jax.lax.top_k(second_TCM, top_k)
    sums = first_TCK[..., :, None] + second_TCK[..., None, :]
    scores_TCK, best_TCK = jax.lax.top_k(sums.reshape(*sums.shape[:-2], -1), top_k)
    i_TCK = jnp.take_along_axis(i_TCK, best_TCK // top_k, axis=-1)
    j_TCK = jnp.take_along_axis(j_TCK, best_TCK % top_k, axis=-1)
    return i_TCK * first_TCM.shape[-1] + j_TCK, scores_TCK
