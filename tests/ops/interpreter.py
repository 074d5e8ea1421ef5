# SPDX-License-Identifier: Apache-2.0
"""Triton kernels without a GPU: a stand-in for jax-triton that runs Triton's own interpreter.

The interpreter is slow, some milliseconds a program: give it few. Outputs that a kernel does not
write hold NaN, or -1, so that what is missing shows.
"""

import os
import sys
import types
from typing import Any

import jax
import numpy as np
import pytest

from sgatlin.ops import triton_call

TYPES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "int32": "i32",
    "int64": "i64",
    "uint16": "u16",
}


class HostArray:
    """What the interpreter asks of a tensor, about a NumPy array."""

    def __init__(self, array: np.ndarray):
        self.array = array
        self.dtype = TYPES[array.dtype.name]

    def data_ptr(self) -> int:
        return self.array.ctypes.data

    def untyped_storage(self) -> "HostArray":
        return self

    def cpu(self) -> "HostArray":
        return self

    def new_empty(self, _: int, device: str) -> "HostArray":
        return HostArray(self.array)

    def set_(self, *_: Any) -> None:
        """The storage is the array itself: there is nothing to copy."""

    copy_ = storage_offset = size = stride = set_


def interpreted_call(
    *inputs, kernel, out_shape, grid, zeroed_outputs, input_output_aliases, **rest
):
    """`jax_triton.triton_call` on the host."""
    rest.pop("num_warps")
    arrays = [x for x in inputs if not isinstance(x, int)]

    def run(*values):
        values = [np.array(value) for value in values]
        given = iter(values)
        full = [x if isinstance(x, int) else next(given) for x in inputs]
        outputs = [np.zeros(s.shape, s.dtype) for s in out_shape]
        for i, output in enumerate(outputs):
            if i not in zeroed_outputs:
                output.fill(-1 if output.dtype.kind == "i" else np.nan)
        for source, target in input_output_aliases.items():
            outputs[target] = full[source]
        tensors = [x if isinstance(x, int) else HostArray(x) for x in (*full, *outputs)]
        with np.errstate(all="ignore"):
            kernel[grid](*tensors, **rest)
        return outputs

    return jax.pure_callback(run, list(out_shape), *arrays)


@pytest.fixture
def interpreted(monkeypatch):
    """Kernels run, by the interpreter, as if this machine had a GPU for them."""
    interpreter = pytest.importorskip("triton.runtime.interpreter", reason="needs Triton")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("kernels are compiled for a GPU in this process")
    patch_tensor = interpreter._patch_lang_tensor

    def patch(tensor, scope):
        patch_tensor(tensor, scope)
        # NumPy 2.4 makes an int of no array with axes, however small.
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patch)
    module = types.ModuleType("jax_triton")
    module.triton_call = interpreted_call
    monkeypatch.setitem(sys.modules, "jax_triton", module)
    monkeypatch.setattr(triton_call, "why_not", lambda: None)
    for api in ("product_topk", "cross_entropy"):
        monkeypatch.setattr(f"sgatlin.ops.{api}.api.why_not", lambda: None)
