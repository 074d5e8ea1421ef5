# SPDX-License-Identifier: Apache-2.0
"""What the default device is, as far as fast paths depend on it."""

import functools

import jax

from sgatlin.ops.platform import only_traced, platform

# Ampere: bf16 in its matrix units, and the oldest that Triton's and cuDNN's kernels are for.
OLDEST_CAPABILITY = (8, 0)


def no_nvidia_gpu() -> str | None:
    """Why kernels for NVIDIA GPUs since Ampere cannot run here; None if they can.

    A GPU that is only traced for is such a one.
    """
    if platform() != "gpu":
        return f"the device is no GPU but a {platform().upper()}"
    return None if only_traced() else _not_this_gpu()


@functools.cache
def _not_this_gpu() -> str | None:
    device = jax.devices()[0]
    capability = str(getattr(device, "compute_capability", ""))
    numbers = tuple(int(part) for part in capability.split(".") if part.isdecimal())
    if "rocm" in device.client.platform_version.lower() or not numbers:
        return f"the GPU is not NVIDIA's ({device.device_kind})"
    return (
        f"the GPU ({device.device_kind}) is older than Ampere"
        if numbers < OLDEST_CAPABILITY
        else None
    )
