"""Each check draws or takes a case, computes it by the CUDA kernels, and compares with the definition in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import functional as F
from minicnn.kernels import using
from tests.kernels.bounds import assert_close_sum
from tests.kernels.cuda.runner import in_every_order
from tests.support.strategies import ConvConfig, PoolConfig

# The unit roundoff of TF32's inputs, and how far a product of two rounded ones may be off.
TF32 = 2.0**-10


def conv2d(config: ConvConfig, algorithm: str, dtype: Any = np.float32) -> None:
    """Forward and all three gradients."""
    arrays = config.arrays(dtype)
    rng = np.random.default_rng(config.seed)
    with using("reference"):
        shape = F.conv2d_forward(**arrays, **config.options)[0].shape
    dy = rng.standard_normal(shape).astype(dtype)
    kinds = set()

    def compute() -> tuple[Any, ...]:
        with using(algorithm):
            y, cache = F.conv2d_forward(**arrays, **config.options)
            kinds.add(type(cache).__name__)
            return y, *F.conv2d_backward(dy, cache)

    results = in_every_order(compute)
    assert kinds == {"Im2colConv2dCache" if algorithm == "im2col" else "ImplicitConv2dCache"}
    exact = _convolution(arrays, dy, config.options)
    magnitudes = _convolution(
        {k: None if a is None else abs(a) for k, a in arrays.items()}, abs(dy), config.options
    )
    taps, pixels = math.prod(config.weight_shape[1:]), dy[:, 0].size
    lengths = (taps + 1, math.prod(config.weight_shape) // config.weight_shape[1], pixels, pixels)
    for result, value, magnitude, length in zip(results, exact, magnitudes, lengths):
        if value is None:
            assert result is None
        elif algorithm == "tf32":
            assert result.dtype == np.float32
            assert (abs(result - value) <= TF32 * magnitude + 1e-5).all()
        else:
            assert result.dtype == dtype
            close(result, value, magnitude, length)


def _convolution(arrays: dict[str, Any], dy: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    arrays = {name: None if array is None else array.astype(np.float64) for name, array in arrays.items()}
    with using("reference"):
        y, cache = F.conv2d_forward(**arrays, **options)
        return y, *F.conv2d_backward(dy.astype(np.float64), cache)


def close(result: Any, exact: Any, magnitude: Any, length: int) -> None:
    """Within the bound of a float32 sum of this length; in float64 within 1e-12 of the magnitude."""
    if result.dtype == np.float64:
        assert (abs(result - exact) <= 1e-12 * (magnitude + 1)).all()
    else:
        assert_close_sum(result, exact, magnitude, length)


def pool(kind: str, config: PoolConfig, dtype: Any = np.float32) -> None:
    """ "max" or "avg": output and gradient; max pooling to the bit."""
    forward, backward = getattr(F, f"{kind}_pool2d_forward"), getattr(F, f"{kind}_pool2d_backward")
    x = config.x(dtype)
    if kind == "max" and config.seed % 2:
        x = np.round(2 * x)  # many equal values, of which the first must win
    with using("reference"):
        y64, cache64 = forward(x.astype(np.float64), config.kernel_size, **config.options)
        dy = np.random.default_rng(config.seed).standard_normal(y64.shape).astype(dtype)
        dx64 = backward(dy.astype(np.float64), cache64)
    places: list[Any] = []

    def compute() -> tuple[Any, ...]:
        y, cache = forward(x, config.kernel_size, **config.options)
        assert "Kernel" in type(cache).__name__
        places.append(getattr(cache, "argmax", None))
        return y, backward(dy, cache)

    y, dx = in_every_order(compute)
    if kind == "max":
        np.testing.assert_array_equal(y, y64)
        np.testing.assert_array_equal(places[0], cache64.argmax)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(y, y64, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, dx64, rtol=tolerance, atol=tolerance)


def batch_norm2d(
    shape: tuple[int, ...],
    affine: bool,
    given: bool,
    relu: bool,
    shortcut: bool,
    seed: int,
    dtype: Any = np.float32,
) -> None:
    """Alone, and in the forms with a shortcut and a ReLU, whose definition is the sum of its parts."""
    from minicnn.kernels.cuda_calls import batch_norm2d as kernels

    rng = np.random.default_rng(seed)
    channels = shape[1]
    x, dy, other = (rng.standard_normal(shape).astype(dtype) for _ in range(3))
    x += 3
    weight, bias = (rng.uniform(0.5, 1.5, channels).astype(dtype) if affine else None for _ in range(2))
    mean, var = (rng.uniform(0.5, 1.5, channels).astype(dtype) if given else None for _ in range(2))
    added = other if shortcut else None

    def compute() -> tuple[Any, ...]:
        y, cache = kernels.forward(x, weight, bias, mean, var, 1e-5, relu=relu, shortcut=added)
        if not shortcut:
            return y, *cache.backward(dy, (True, True, True)), None
        return y, *cache.backward_shortcut(dy)

    y, dx, dweight, dbias, dshortcut = in_every_order(compute)
    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias)]
    with using("reference"):
        y64, cache64 = F.batch_norm2d_forward(
            *wide, mean=None if mean is None else mean.astype(np.float64),
            var=None if var is None else var.astype(np.float64),
        )  # fmt: skip
        y64 = y64 + other if shortcut else y64
        through = dy * (y > 0) if relu else dy  # the kernel's own mask: near 0 the two may differ
        exact = F.batch_norm2d_backward(through.astype(np.float64), cache64)
    scale = math.sqrt(x.size // channels)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, np.maximum(y64, 0) if relu else y64, rtol=tolerance, atol=tolerance)
    for result, value in zip((dx, dweight, dbias), exact):
        if value is None:
            assert result is None
        else:
            np.testing.assert_allclose(result, value, rtol=10 * tolerance, atol=10 * tolerance * scale)
    if shortcut:
        np.testing.assert_array_equal(dshortcut, through)


def pair(name: str, x: Any, dy: Any, tolerance: float, **options: Any) -> None:
    """An element-wise function of functional/, against itself in float64."""
    forward, backward = getattr(F, f"{name}_forward"), getattr(F, f"{name}_backward")

    def compute() -> tuple[Any, ...]:
        y, cache = forward(x, **options)
        assert type(cache).__module__.startswith("minicnn.kernels.cuda_calls"), "the definition was taken"
        return y, backward(dy, cache)

    y, dx = in_every_order(compute)
    with using("reference"):
        y64, cache64 = forward(x.astype(np.float64), **options)
        dx64 = backward(dy.astype(np.float64), cache64)
    assert y.dtype == dx.dtype == x.dtype
    np.testing.assert_allclose(y, y64, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, dx64, rtol=tolerance, atol=tolerance)
