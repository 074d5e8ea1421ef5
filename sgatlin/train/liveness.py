# SPDX-License-Identifier: Apache-2.0
"""The most memory that a traced program has in use at once, under a model of what XLA stores.

The jaxpr is run in its order:

- Elementwise operations, broadcasts, slices, transposes and gathers are fused into what reads
  them. Their result is stored where a matmul, scatter, sort or loop reads it, and where it is
  costly to compute and read more than once. All other operations store their results.
- An operation writes over an operand of the same size that nobody reads later, save for those
  that read their operands more than once (matmuls, sorts).
- A loop is its carry, the arrays it stacks, and once the temporaries of its body; what the body
  carries on and stacks is written in place. The arrays that a loop stacks are there from the end
  of the loop before it: XLA fills them with zeros that early.
- What depends on no argument is computed in the body of the loop that reads it.
- A loop that is written out is its steps, one after another. A GPU's compiler then computes an
  elementwise result again for the backward pass, unless that reads more than the result is large.
- The step's results are written over the donated state.
- On a CPU, half-precision values take four bytes: XLA widens them.

Mostly within a tenth of XLA's own plan where the gradients or what layers keep is most of it; from
40 % below to a third above where the workspace of one layer is, as with full recomputation, or in
very small models.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend import core
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

_REDUCTIONS = set("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or".split())
# They read their operands from memory, and each element more than once.
_UNFUSED = set(
    "dot_general ragged_dot ragged_dot_general conv_general_dilated sort top_k approx_top_k argmax "
    "argmin cumsum cumprod cummax cummin cumlogsumexp reduce_window pallas_call ffi_call "
    "triton_kernel_call all_gather reduce_scatter".split()
)
_IN_PLACE = {"scatter", "scatter-add", "scatter_add", "dynamic_update_slice"}
# Times its own size that a result has to read to be stored rather than computed again.
_DEAR = 1.25
_LOOPS = {"scan", "while", "cond"}
# What costs no memory: of a sum over devices too, the result may be where the own part was.
_RENAMINGS = set(
    "reshape squeeze expand_dims stop_gradient copy optimization_barrier reduce_precision "
    "psum".split()
)


def temporary_bytes(jaxpr: Jaxpr, *, widen: bool = False) -> int:
    """Most bytes alive at once in `jaxpr`, besides its arguments and results.

    With `widen` half-precision values take four bytes.
    """
    return _peak(_operations(jaxpr, n_sliced=0, n_stacked=0, widen=widen))


@dataclasses.dataclass(eq=False)
class _Value:
    """An array; one without a producer has memory of its own that is counted elsewhere."""

    size: int
    producer: "_Operation | None" = None
    constant: bool = False
    """It depends on no argument."""
    stored: bool = True
    parts: "Sequence[_Value]" = ()
    """What each step of an unrolled loop stacked here."""


_LITERAL = _Value(0, constant=True)


@dataclasses.dataclass(eq=False)
class _Operation:
    name: str
    inputs: list[_Value]
    outputs: list[_Value] = dataclasses.field(default_factory=list)
    n_consts: int = 0
    """The first inputs of a loop that its body reads and does not change."""
    stacked: list[_Value] = dataclasses.field(default_factory=list)
    """The outputs of a loop that are filled slice by slice."""
    workspace: int = 0
    """Temporaries of a loop's body."""
    repeatable: bool = False
    """Its result may be computed again where it is read, as in a loop that is written out."""

    @property
    def reads_memory(self) -> bool:
        """What it reads must be stored."""
        return self.name in _UNFUSED | _IN_PLACE | _LOOPS | {"return"}

    @property
    def fused(self) -> bool:
        """It is computed where its result is read."""
        return not self.reads_memory and self.name not in _REDUCTIONS | {"store"}


def _operations(jaxpr: Jaxpr, *, n_sliced: int, n_stacked: int, widen: bool) -> list[_Operation]:
    """What a computation does, in order.

    The last `n_sliced` arguments are each a slice of a loop's input, and the last `n_stacked`
    results each a slice of its output.
    """
    env: dict[Any, _Value] = {var: _Value(0) for var in (*jaxpr.constvars, *jaxpr.invars)}
    operations = []
    for var in jaxpr.invars[len(jaxpr.invars) - n_sliced :]:
        operations.append(_Operation("take", []))
        env[var] = _result(operations[-1], var, widen)
    operations += _flatten(jaxpr, env, widen)

    n_returned = len(jaxpr.outvars) - n_stacked
    results = [_LITERAL if isinstance(var, core.Literal) else env[var] for var in jaxpr.outvars]
    returned = results[:n_returned]
    for value in returned:
        value.size = 0  # written over an argument
    writes = defaultdict(list)
    for value in results[n_returned:]:
        writes[value.producer].append(_Operation("store", [value]))
    ordered = writes[None]
    for operation in operations:
        ordered += [operation, *writes[operation]]
    return [*ordered, _Operation("return", returned)]


def _flatten(jaxpr: Jaxpr, env: dict[Any, _Value], widen: bool) -> Iterator[_Operation]:
    """The operations of `jaxpr` and of what it calls; adds its variables to `env`."""
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        inputs = [_LITERAL if isinstance(var, core.Literal) else env[var] for var in eqn.invars]
        called = None if name in _LOOPS else _called(eqn)
        if called is not None:
            inner = {var: _Value(0) for var in called.constvars}
            inner |= dict(zip(called.invars, inputs, strict=True))
            yield from _flatten(called, inner, widen)
            for outer, var in zip(eqn.outvars, called.outvars, strict=True):
                env[outer] = _LITERAL if isinstance(var, core.Literal) else inner[var]
        elif name in _RENAMINGS and len(eqn.outvars) == 1:
            env[eqn.outvars[0]] = inputs[0]
        elif name == "scan" and 1 < eqn.params["unroll"] >= eqn.params["length"]:
            yield from _unrolled(eqn, inputs, env, widen)
        else:
            operation = _Operation(name, inputs)
            env |= {var: _result(operation, var, widen) for var in eqn.outvars}
            if name in _LOOPS:
                _describe_loop(operation, eqn, widen)
            yield operation


def _unrolled(
    eqn: JaxprEqn, inputs: list[_Value], env: dict[Any, _Value], widen: bool
) -> Iterator[_Operation]:
    """The operations of a loop whose steps are written out one after another."""
    body, length = eqn.params["jaxpr"].jaxpr, eqn.params["length"]
    n_sliced, n_stacked = _n_sliced_and_stacked(eqn)
    n_carry = len(eqn.outvars) - n_stacked
    first = len(inputs) - n_sliced
    consts, carry = inputs[: first - n_carry], inputs[first - n_carry : first]
    stacked: list[list[_Value]] = []
    for step in range(length)[:: -1 if eqn.params["reverse"] else 1]:
        inner = {var: _Value(0) for var in body.constvars}
        slices = []
        for value, var in zip(inputs[first:], body.invars[first:], strict=True):
            if value.parts:
                slices.append(value.parts[step])
            else:
                slice_of = _Operation("slice", [value])
                slices.append(_result(slice_of, var, widen))
                yield slice_of
        inner |= dict(zip(body.invars, (*consts, *carry, *slices), strict=True))
        for operation in _flatten(body, inner, widen):
            operation.repeatable = not widen
            yield operation
        results = [_LITERAL if isinstance(v, core.Literal) else inner[v] for v in body.outvars]
        carry = results[:n_carry]
        stacked.append(results[n_carry:])
    if eqn.params["reverse"]:
        stacked.reverse()
    env |= dict(zip(eqn.outvars, carry, strict=False))
    for i, var in enumerate(eqn.outvars[n_carry:]):
        stack = _Operation("concatenate", [step_results[i] for step_results in stacked])
        env[var] = _result(stack, var, widen)
        env[var].parts = stack.inputs
        yield stack


def _called(eqn: JaxprEqn) -> Jaxpr | None:
    """The function that an equation only calls."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        function = eqn.params.get(name)
        function = function.jaxpr if isinstance(function, ClosedJaxpr) else function
        if isinstance(function, Jaxpr) and len(function.invars) == len(eqn.invars):
            return function
    return None


def _describe_loop(operation: _Operation, eqn: JaxprEqn, widen: bool) -> None:
    params = eqn.params
    if operation.name == "scan":
        body = params["jaxpr"].jaxpr
        n_sliced, n_stacked = _n_sliced_and_stacked(eqn)
        n_carry = len(eqn.outvars) - n_stacked
        operation.n_consts = len(eqn.invars) - n_carry - n_sliced
        operation.stacked = operation.outputs[n_carry:]
        inside = _operations(body, n_sliced=n_sliced, n_stacked=n_stacked, widen=widen)
        operation.workspace = _peak(inside)
    else:
        bodies = [params["body_jaxpr"]] if operation.name == "while" else params["branches"]
        operation.workspace = max(temporary_bytes(body.jaxpr, widen=widen) for body in bodies)


def _n_sliced_and_stacked(eqn: JaxprEqn) -> tuple[int, int]:
    """Of a scan's arguments and results, how many have an axis more than in its body."""
    body = eqn.params["jaxpr"].jaxpr
    n_sliced, n_stacked = (
        sum(_shape(a) != _shape(b) for a, b in zip(outside, inside, strict=True))
        for outside, inside in ((eqn.invars, body.invars), (eqn.outvars, body.outvars))
    )
    return n_sliced, n_stacked


def _shape(var: Any) -> tuple[int, ...]:
    return var.aval.shape


def _result(operation: _Operation, var: Any, widen: bool) -> _Value:
    dtype = var.aval.dtype
    widened = widen and jnp.issubdtype(dtype, jnp.floating)
    width = max(4, dtype.itemsize) if widened else dtype.itemsize
    computed = operation.fused and operation.name != "take"
    constant = computed and all(value.constant for value in operation.inputs)
    value = _Value(math.prod(var.aval.shape) * width, operation, constant)
    operation.outputs.append(value)
    return value


def _peak(operations: Sequence[_Operation]) -> int:
    """Most bytes alive at once over all operations, run in order."""
    _decide_what_is_stored(operations)
    stored = [op for op in operations if not op.fused or any(v.stored for v in op.outputs)]
    # What each reads from memory, itself or through what is fused into it.
    through: dict[_Operation, set[_Value]] = {}
    for op in operations:
        made = [value for value in op.inputs if value.producer is not None]
        through[op] = {value for value in made if value.stored}.union(
            *(through[value.producer] for value in made if value.producer and not value.stored)
        )
    reads = [through[op] for op in stored]
    last_read = {value: at for at, values in enumerate(reads) for value in values}
    opened: dict[int, int] = defaultdict(int)
    after_loop = 0
    for at, op in enumerate(stored):
        if op.stacked:
            opened[after_loop] += sum(value.size for value in op.stacked)
            after_loop = at + 1

    alive = peak = 0
    for at, op in enumerate(stored):
        alive += opened[at]
        fresh = [value.size for value in op.outputs if value.stored and value not in op.stacked]
        dying = [value.size for value in reads[at] if last_read[value] == at]
        if op.name not in _UNFUSED:
            for size in list(fresh):
                if size in dying:
                    fresh.remove(size)
                    dying.remove(size)
        alive += sum(fresh)
        peak = max(peak, alive + op.workspace)
        unread = [value.size for value in op.outputs if value.stored and value not in last_read]
        alive -= sum(dying) + sum(unread)
    return peak


def _decide_what_is_stored(operations: Sequence[_Operation]) -> None:
    readers: dict[_Value, list[_Operation]] = defaultdict(list)
    for op in operations:
        constants = {value for value in op.inputs[: op.n_consts] if value.constant}
        for value in set(op.inputs) - constants:
            readers[value].append(op)
    behind: dict[_Value, dict[_Value, int]] = {}
    for op in operations:
        inputs: dict[_Value, int] = {}
        for value in op.inputs:
            inputs |= {value: value.size} if value.stored else behind[value]
        for value in op.outputs:
            all_fuse = not any(reader.reads_memory for reader in readers[value])
            cheap = value.constant or len(readers[value]) < 2
            if op.repeatable:
                cheap = cheap or sum(inputs.values()) < _DEAR * value.size
            value.stored = not (op.fused and all_fuse and cheap)
            if not value.stored:
                behind[value] = {of: min(size, value.size) for of, size in inputs.items()}
