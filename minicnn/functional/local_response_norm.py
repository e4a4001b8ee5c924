"""Local response normalisation: channels inhibit their neighbours.

Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks",
sec. 3.3, with PyTorch's convention that alpha is divided by the window's size.
"""

from __future__ import annotations

from typing import NamedTuple

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError
from minicnn.functional.check import check_float, check_nchw, check_upstream, number


class LocalResponseNormCache(NamedTuple):
    x: Array
    scale: Array  # s = k + alpha/size Σ x² over the window of channels
    size: int
    alpha: float
    beta: float


def local_response_norm_forward(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, LocalResponseNormCache]:
    """y = x s^-beta  with  s[c] = k + (alpha / size) Σ_j x[j]²,  j in the window around c.

    The window of channel c runs from c - size//2 to c + (size - 1)//2, cut at the ends.
    x (N, C, H, W) -> y (N, C, H, W).
    """
    check_float("local_response_norm", x=x)
    check_nchw("local_response_norm", x)
    if size < 1:
        raise ConfigError(f"local_response_norm: size must be at least 1, got {size}")
    size = int(size)
    alpha = number("local_response_norm", "alpha", alpha)
    beta = number("local_response_norm", "beta", beta)
    k = number("local_response_norm", "k", k)
    scale = k + (alpha / size) * _window_sum(x * x, size // 2, (size - 1) // 2)
    return x * scale**-beta, LocalResponseNormCache(x, scale, size, alpha, beta)


def local_response_norm_backward(dy: Array, cache: LocalResponseNormCache) -> Array:
    """dx[j] = dy[j] s[j]^-beta - (2 alpha beta / size) x[j] Σ_c dy[c] x[c] s[c]^(-beta - 1),

    where c runs over the channels whose window holds j: the window mirrored.
    """
    x, scale, size, alpha, beta = cache
    check_upstream("local_response_norm", dy, x.shape, x.dtype)
    power = scale**-beta
    through_scale = _window_sum(dy * x * power / scale, (size - 1) // 2, size // 2)
    return dy * power - (2 * alpha * beta / size) * x * through_scale


def _window_sum(values: Array, before: int, after: int) -> Array:
    """Sum over the channels c - before to c + after of (N, C, H, W), for every c."""
    channels = values.shape[1]
    total = get_xp(values).zeros(values.shape, dtype=values.dtype)
    for shift in range(-before, after + 1):
        low, high = max(0, -shift), min(channels, channels - shift)
        if low < high:
            total[:, low:high] += values[:, low + shift : high + shift]
    return total
