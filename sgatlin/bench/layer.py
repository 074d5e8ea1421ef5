# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench layer`: the whole layer and its primitives, each implementation against the naive.

T tokens, D width, C channels of N neurons, K chosen, P = C * K, R = C * N rows of a table. With
groups it is groups that the router searches; the primitives are of their neurons one by one.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from sgatlin.bench.case import Case, Shape
from sgatlin.bench.measure import Ceilings, measure, reason
from sgatlin.bench.naive import instead_of, naive_layer, naive_product_topk, naive_route
from sgatlin.bench.rows import Column, Table
from sgatlin.bench.traffic import Traffic
from sgatlin.errors import UserError
from sgatlin.nn.gates import Gates
from sgatlin.nn.mlp import Swiglu, SwigluConfig, matching_d_hidden
from sgatlin.nn.routing import key_scores, route, router_flops
from sgatlin.nn.sgatlin import SgatlinConfig, sgatlin
from sgatlin.ops.neurons import Implementation, gather_dot, gather_sum, scatter_outer
from sgatlin.ops.neurons.choose import pick
from sgatlin.ops.product_topk import product_topk
from sgatlin.ops.triton_call import why_not

NAIVE = "naive"
IMPLEMENTATIONS: tuple[Implementation, ...] = tuple(
    name for name in get_args(Implementation) if name != "reference"
)
"""Those timed by default where they can be used; `reference` gathers as the naive layer does."""

TABLE = Table(
    (
        Column("ms", "ms", ",.3f"),
        Column("tokens_per_second", "k tokens/s", ",.0f", 1e3),
        Column("bytes", "GB", ",.3f", 1e9),
        Column("bytes_per_second", "GB/s", ",.1f", 1e9),
        Column("of_copy", "of copy", ".0%"),
        Column("of_matmul", "of matmul", ".1%"),
        Column("temporaries", "MiB temp.", ",.1f", 2**20),
        Column("speed_up", "speed-up", ".1f"),
    ),
    name_width=22,
)


def usable(shape: Shape, dtype: jnp.dtype) -> dict[Implementation, str | None]:
    """Of IMPLEMENTATIONS why each cannot be used here, or None if it can."""
    found: dict[Implementation, str | None] = {}
    for name in IMPLEMENTATIONS:
        n_tables, n_neurons = shape.layer.pool_shape
        try:
            pick(
                name,
                n_rows=n_tables * n_neurons,
                n_picks=shape.layer.n_channels * shape.layer.top_k,
                width=shape.d_model,
                dtype=dtype,
            )
            found[name] = None
        except UserError as error:
            found[name] = str(error)
    return found


class Timed(NamedTuple):
    """Something to time, and what it has to do by theory."""

    group: str
    name: str
    fn: Callable[..., Any]
    arguments: tuple[Any, ...]
    n_bytes: int | None
    flops: int | None


def layer_rows(
    case: Case, implementations: Sequence[Implementation], ceilings: Ceilings, repeats: int
) -> Iterator[dict[str, Any]]:
    """A row of TABLE for each thing timed, as it is timed; `naive` is the first of its group."""
    naive_ms: dict[str, float] = {}
    timings = (layer_timings, primitive_timings)
    for timed in chain.from_iterable(timing(case, implementations) for timing in timings):
        row: dict[str, Any] = {"group": timed.group, "name": timed.name}
        try:
            ms, temporaries = measure(timed.fn, timed.arguments, repeats)
        except Exception as error:  # one that fails must not end the table
            yield row | {"error": reason(error)}
            continue
        if timed.name == NAIVE:
            naive_ms[timed.group] = ms
        per_second = 1e3 / ms
        yield row | {
            "ms": ms,
            "tokens_per_second": len(case.x_TD) * per_second,
            "bytes": timed.n_bytes,
            "bytes_per_second": _times(timed.n_bytes, per_second),
            "of_copy": _times(timed.n_bytes, per_second / ceilings.copy),
            "flops": timed.flops,
            "of_matmul": _times(timed.flops, per_second / ceilings.matmul),
            "temporaries": temporaries,
            "speed_up": naive_ms[timed.group] / ms if timed.group in naive_ms else None,
        }


def _times(number: int | None, factor: float) -> float | None:
    return None if number is None else number * factor


def layer_timings(case: Case, implementations: Sequence[Implementation]) -> Iterator[Timed]:
    """The layer forward, and with its gradients; with indices that are given, once more.

    With given indices the router runs as ever, and its scores, whose gradient it gets, multiply
    the given neurons in the place of those it chose.
    """
    shape, params, x_TD, indices_TCK, chosen = case
    n_tokens = len(x_TD)
    traffic = Traffic(shape.layer, shape.d_model, n_tokens, x_TD.dtype.itemsize)
    flops = n_tokens * shape.layer.forward_flops(shape.d_model)
    dense, dense_params, dense_flops_per_token = _swiglu(shape.d_model, x_TD.dtype)
    dense_flops = n_tokens * dense_flops_per_token
    dy_TD = jax.random.normal(jax.random.key(2), x_TD.shape, x_TD.dtype)
    for routed in (True,) if chosen else (True, False):
        given = () if routed else (indices_TCK,)
        group = "layer" if routed else "layer, given indices"
        layers = layer_functions(shape, implementations, routed=routed)
        forward, both = f"{group}: forward", f"{group}: forward and backward"
        n_forward, n_both = traffic.forward, traffic.forward_backward
        for name, layer in layers.items():
            yield Timed(forward, name, layer, (params, x_TD, *given), n_forward, flops)
        if routed:
            yield Timed(forward, "swiglu", dense, (dense_params, x_TD), None, dense_flops)
        for name, layer in layers.items():
            arguments = (dy_TD, params, x_TD, *given)
            yield Timed(both, name, with_gradients(layer), arguments, n_both, 3 * flops)
        if routed:
            arguments = (dy_TD, dense_params, x_TD)
            yield Timed(both, "swiglu", with_gradients(dense), arguments, None, 3 * dense_flops)


def with_gradients(layer: Callable[..., Array]) -> Callable[..., Any]:
    """(dy, params, x, ...) to the layer's output and the gradients of its parameters and of x."""

    def both(dy_TD: Array, params: Any, x_TD: Array, *given: Array) -> Any:
        y_TD, pull_back = jax.vjp(lambda params, x_TD: layer(params, x_TD, *given), params, x_TD)
        return y_TD, pull_back(dy_TD)

    return both


def layer_functions(
    shape: Shape, implementations: Sequence[Implementation], *, routed: bool
) -> dict[str, Callable[..., Array]]:
    """(params, x) to y, or (params, x, indices) to y unless `routed`; `naive` is the first."""
    layers: dict[str, Callable[..., Array]] = {NAIVE: partial(_naive, shape.layer)}
    one = _own if routed else _given
    for name in implementations:
        layers[name] = partial(one, dataclasses.replace(shape.layer, implementation=name))
    return layers


def _naive(config: SgatlinConfig, params: Any, x_TD: Array, *given: Array) -> Array:
    return naive_layer(params, x_TD, config, *given)


def _own(config: SgatlinConfig, params: Any, x_TD: Array) -> Array:
    return sgatlin(params, x_TD, config).y


def _given(config: SgatlinConfig, params: Any, x_TD: Array, indices_TCK: Array) -> Array:
    own = route(params["router"], x_TD, config)
    gates = Gates(instead_of(own.indices, indices_TCK), own.scores)
    return sgatlin(params, x_TD, config, gates=gates).y


def _swiglu(d_model: int, dtype: jnp.dtype) -> tuple[Callable[..., Array], Any, int]:
    """Our dense layer of equal width: its function, parameters, and FLOPs of a token forward."""
    config = SwigluConfig(d_hidden=matching_d_hidden(d_model))
    graph, state = nnx.split(Swiglu(d_model, config, rngs=nnx.Rngs(1)))
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), nnx.to_pure_dict(state))

    def swiglu(params: Any, x_TD: Array) -> Array:
        return nnx.merge(graph, nnx.State(params))(x_TD).y

    return swiglu, params, config.forward_flops(d_model)


def primitive_timings(case: Case, implementations: Sequence[Implementation]) -> Iterator[Timed]:
    """The three primitives on the case's indices, the product search, and the router, forward."""
    (d_model, layer), params, x_TD, indices_TCK, _ = case
    n_tokens, dtype = len(x_TD), x_TD.dtype
    traffic = Traffic(layer, d_model, n_tokens, dtype.itemsize)
    n_channels, n_neurons = layer.n_channels, layer.n_neurons
    rows_TCK = indices_TCK + n_neurons * jnp.arange(n_channels)[:, None]
    rows_TP = rows_TCK.reshape(n_tokens, -1)
    table_RD = params["w_in"].reshape(-1, d_model)
    a_TP = jax.random.normal(jax.random.key(3), rows_TP.shape)
    flops = 2 * rows_TP.size * d_model
    named: dict[str, Implementation] = {NAIVE: "reference"}
    named |= {name: name for name in implementations}
    for name, impl in named.items():
        fn = partial(gather_dot, implementation=impl)
        yield Timed("gather_dot", name, fn, (x_TD, rows_TP, table_RD), traffic.rows, flops)
    for name, impl in named.items():
        fn = partial(gather_sum, implementation=impl)
        yield Timed("gather_sum", name, fn, (a_TP, rows_TP, table_RD), traffic.rows, flops)
    for name, impl in named.items():
        scatter = partial(scatter_outer, n_rows=len(table_RD), implementation=impl)
        arguments = a_TP, rows_TP, x_TD
        yield Timed("scatter_outer", name, scatter, arguments, traffic.scatter_outer, flops)

    # Only these two compute the router; `dense` routes by `xla`.
    routers = tuple(name for name in implementations if name in ("xla", "triton"))
    scores = jax.jit(partial(key_scores, config=layer))(params["router"], x_TD)
    halves, n_bytes = (scores[:, 0], scores[:, 1]), traffic.product_topk
    for name in (NAIVE, *routers):
        search = partial(_search, name, layer.top_k // layer.group)
        yield Timed("product_topk", name, search, halves, n_bytes, None)
    flops = n_tokens * router_flops(layer, d_model)
    for name in (NAIVE, *routers):
        router = partial(_route, name, layer)
        yield Timed("router: forward", name, router, (params["router"], x_TD), None, flops)


def _search(name: Any, top_k: int, first_TCM: Array, second_TCM: Array) -> Any:
    if name == NAIVE:
        return naive_product_topk(first_TCM, second_TCM, top_k)
    _check_runs(name)
    return product_topk(first_TCM, second_TCM, top_k, implementation=name)


def _route(name: Any, config: SgatlinConfig, params: Any, x_TD: Array) -> Any:
    if name == NAIVE:
        return naive_route(params, x_TD, config)
    _check_runs(name)
    return route(params, x_TD, dataclasses.replace(config, implementation=name))


def _check_runs(name: Implementation) -> None:
    # The router falls back to XLA in silence; a row must not be called by another's name.
    if name == "triton" and (reason := why_not()):
        raise UserError(f"implementation='triton' cannot be used: {reason}")
