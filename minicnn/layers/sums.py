"""Adding where paths meet."""

from __future__ import annotations

from minicnn.backend import Array
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped


def add(a: Array, b: Array) -> Array:
    """a + b for arrays of one shape and dtype, such as the gradients of a fork."""
    if a.shape == b.shape and a.dtype == b.dtype and (kernel := kernel_for("add", a, Shaped(a.shape))):
        return kernel.forward(a, b)
    return a + b
