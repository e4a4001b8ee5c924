"""Element-wise nonlinearities. For y = f(x) the backward is dx = f'(x) dy."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, device_of, get_xp
from minicnn.errors import ConfigError
from minicnn.functional.check import check_float, check_upstream, number
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped


class ReLUCache(NamedTuple):
    mask: Array  # x > 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mask.shape


def relu_forward(x: Array) -> tuple[Array, ReLUCache]:
    """y = max(x, 0). Any shape. Nair & Hinton 2010."""
    check_float("relu", x=x)
    if kernel := kernel_for("relu", x, Shaped(x.shape)):
        return kernel.forward(x)
    return get_xp(x).maximum(x, 0), ReLUCache(x > 0)


def relu_backward(dy: Array, cache: ReLUCache) -> Array:
    """dx = dy where x > 0, else 0 (at x = 0 the derivative is taken to be 0)."""
    check_upstream("relu", dy, cache.shape)
    if not isinstance(cache, ReLUCache) and dy.dtype == cache.dtype:
        return cache.backward(dy)
    return get_xp(dy).where(cache.mask, dy, 0)


class LeakyReLUCache(NamedTuple):
    mask: Array  # x > 0
    negative_slope: float


def leaky_relu_forward(x: Array, negative_slope: float = 0.01) -> tuple[Array, LeakyReLUCache]:
    """y = x where x > 0, else negative_slope x. Maas et al. 2013."""
    check_float("leaky_relu", x=x)
    negative_slope = number("leaky_relu", "negative_slope", negative_slope)
    if kernel := kernel_for("leaky_relu", x, Shaped(x.shape)):
        return kernel.forward(x, kernel.LEAKY_RELU, negative_slope)
    mask = x > 0
    return get_xp(x).where(mask, x, negative_slope * x), LeakyReLUCache(mask, negative_slope)


def leaky_relu_backward(dy: Array, cache: LeakyReLUCache) -> Array:
    """dx = dy where x > 0, else negative_slope dy."""
    check_upstream("leaky_relu", dy, cache.mask.shape)
    if not isinstance(cache, LeakyReLUCache) and dy.dtype == cache.dtype:
        return cache.backward(dy)
    return get_xp(dy).where(cache.mask, dy, cache.negative_slope * dy)


class ELUCache(NamedTuple):
    mask: Array  # x > 0
    slope: Array  # alpha exp(x) where x <= 0, which is also y + alpha there
    alpha: float


def elu_forward(x: Array, alpha: float = 1.0) -> tuple[Array, ELUCache]:
    """y = x where x > 0, else alpha (exp(x) - 1). Clevert et al. 2016."""
    check_float("elu", x=x)
    alpha = number("elu", "alpha", alpha)
    if kernel := kernel_for("elu", x, Shaped(x.shape)):
        return kernel.forward(x, kernel.ELU, alpha)
    xp = get_xp(x)
    mask = x > 0
    negative = xp.minimum(x, 0)  # exp of a large positive x would overflow, unused
    y = xp.where(mask, x, alpha * xp.expm1(negative))
    return y, ELUCache(mask, alpha * xp.exp(negative), alpha)


def elu_backward(dy: Array, cache: ELUCache) -> Array:
    """dx = dy where x > 0, else alpha exp(x) dy."""
    if not isinstance(cache, ELUCache):  # a kernel's: it knows its own backward
        check_upstream("elu", dy, cache.shape, cache.dtype)
        return cache.backward(dy)
    check_upstream("elu", dy, cache.mask.shape, cache.slope.dtype)
    return get_xp(dy).where(cache.mask, dy, cache.slope * dy)


class SigmoidCache(NamedTuple):
    y: Array


def sigmoid_forward(x: Array) -> tuple[Array, SigmoidCache]:
    """y = 1 / (1 + exp(-x)), computed so that exp never overflows."""
    check_float("sigmoid", x=x)
    if kernel := kernel_for("sigmoid", x, Shaped(x.shape)):
        return kernel.forward(x, kernel.SIGMOID)
    xp = get_xp(x)
    small = xp.exp(-xp.abs(x))
    y = xp.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return y, SigmoidCache(y)


def sigmoid_backward(dy: Array, cache: SigmoidCache) -> Array:
    """dx = y (1 - y) dy."""
    if not isinstance(cache, SigmoidCache):  # a kernel's: it knows its own backward
        check_upstream("sigmoid", dy, cache.shape, cache.dtype)
        return cache.backward(dy)
    check_upstream("sigmoid", dy, cache.y.shape, cache.y.dtype)
    return dy * cache.y * (1 - cache.y)


class TanhCache(NamedTuple):
    y: Array


def tanh_forward(x: Array) -> tuple[Array, TanhCache]:
    """y = tanh(x)."""
    check_float("tanh", x=x)
    if kernel := kernel_for("tanh", x, Shaped(x.shape)):
        return kernel.forward(x, kernel.TANH)
    y = get_xp(x).tanh(x)
    return y, TanhCache(y)


def tanh_backward(dy: Array, cache: TanhCache) -> Array:
    """dx = (1 - y²) dy."""
    if not isinstance(cache, TanhCache):  # a kernel's: it knows its own backward
        check_upstream("tanh", dy, cache.shape, cache.dtype)
        return cache.backward(dy)
    check_upstream("tanh", dy, cache.y.shape, cache.y.dtype)
    return dy * (1 - cache.y * cache.y)


class GELUCache(NamedTuple):
    x: Array
    approximate: str


def gelu_forward(x: Array, approximate: str = "none") -> tuple[Array, GELUCache]:
    """y = x Φ(x), where Φ is the normal distribution function. Hendrycks & Gimpel 2016.

    approximate="none": Φ(x) = (1 + erf(x / √2)) / 2.
    approximate="tanh": Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    """
    check_float("gelu", x=x)
    if approximate not in ("none", "tanh"):
        raise ConfigError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    if kernel := kernel_for("gelu", x, Shaped(x.shape)):
        return kernel.forward(x, kernel.GELU if approximate == "none" else kernel.GELU_TANH)
    phi, _ = _normal_distribution(x, approximate)
    return x * phi, GELUCache(x, approximate)


def gelu_backward(dy: Array, cache: GELUCache) -> Array:
    """dx = (Φ(x) + x Φ'(x)) dy, with the derivative of the same formula that forward used."""
    if not isinstance(cache, GELUCache):  # a kernel's: it knows its own backward
        check_upstream("gelu", dy, cache.shape, cache.dtype)
        return cache.backward(dy)
    check_upstream("gelu", dy, cache.x.shape, cache.x.dtype)
    phi, density = _normal_distribution(cache.x, cache.approximate)
    return dy * (phi + cache.x * density)


def _normal_distribution(x: Array, approximate: str) -> tuple[Array, Array]:
    """Φ(x) and its derivative, exact or by the tanh approximation."""
    xp = get_xp(x)
    if approximate == "none":
        density = xp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
        return 0.5 * (1 + _erf(x * (1 / math.sqrt(2)))), density
    t = xp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return 0.5 * (1 + t), 0.5 * (1 - t * t) * slope


def _erf(x: Array) -> Array:
    if device_of(x) == "cuda":
        from cupyx.scipy.special import erf

        return erf(x)
    # NumPy has no erf. The standard library's is exact to the last bit, one element at a time.
    values = np.fromiter(map(math.erf, x.ravel().tolist()), dtype=np.float64, count=x.size)
    return values.astype(x.dtype).reshape(x.shape)
