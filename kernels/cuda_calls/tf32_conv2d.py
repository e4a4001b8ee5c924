"""Convolution by tensor cores: implicit_conv2d.py with the tiles of cuda/gemm_tf32.cuh."""

from __future__ import annotations

from typing import Any

from minicnn.backend import device_of, get_xp
from minicnn.errors import DeviceError
from minicnn.kernels.cuda_calls import implicit_conv2d
from minicnn.kernels.cuda_calls.implicit_conv2d import ImplicitConv2dCache


def forward(
    x: Any, weight: Any, bias: Any | None, window: Any, relu: bool = False
) -> tuple[Any, ImplicitConv2dCache]:
    check_tensor_cores(x)
    return implicit_conv2d.forward(x, weight, bias, window, relu, tf32=x.dtype.itemsize == 4)


def check_tensor_cores(x: Any) -> None:
    """TF32 came with compute capability 8.0; DeviceError on an older GPU."""
    if device_of(x) != "cuda":
        return  # the emulator has them
    device = get_xp(x).cuda.Device()
    if int(device.compute_capability) < 80:
        raise DeviceError(
            f'using("tf32") needs a GPU of compute capability 8.0 (Ampere) or newer, this one has '
            f"{device.compute_capability[:-1]}.{device.compute_capability[-1]}: leave it out"
        )
