"""The fully connected layer, and the flattening before it."""

from __future__ import annotations

import math

import numpy as np

from minicnn import init
from minicnn.backend import Array
from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.check import check_upstream
from minicnn.functional.linear import linear_backward, linear_forward, linear_relu_forward
from minicnn.layers.base import Layer, Parameter, is_trained, value_of


class Linear(Layer):
    """y = x Wᵀ + b. x (N, in_features) -> y (N, out_features); weight (out_features, in_features).

    Initialised as in PyTorch: uniform within ±1/√in_features.
    """

    can_skip_dx = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        if min(in_features, out_features) < 1:
            raise ConfigError(f"Linear({in_features} -> {out_features}): features must be positive")
        rng = np.random.default_rng() if rng is None else rng
        shape = (out_features, in_features)
        self.weight = Parameter(init.default_weight(shape, rng=rng))
        self.bias = Parameter(init.default_bias(shape, rng=rng)) if bias else None

    def forward(self, x: Array) -> Array:
        y, self.cache = linear_forward(x, self.weight.value, value_of(self.bias))
        return y

    def forward_relu(self, x: Array) -> Array | None:
        """max(forward(x), 0) in one pass; None, and nothing done, where no kernel can: see fusion.py."""
        done = linear_relu_forward(x, self.weight.value, value_of(self.bias))
        if done is None:
            return None
        y, self.cache = done
        return y

    def backward(self, dy: Array, need_dx: bool = True) -> Array:
        needs = (need_dx, is_trained(self.weight), is_trained(self.bias))
        dx, dweight, dbias = linear_backward(dy, self.take_cache(), needs)
        self.weight.accumulate(dweight)
        if self.bias is not None:
            self.bias.accumulate(dbias)
        return dx

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        return x_shape[0] * self.weight.size

    def extra_repr(self) -> str:
        out_features, in_features = self.weight.shape
        return f"{in_features}, {out_features}" + (", bias=False" if self.bias is None else "")


class Flatten(Layer):
    """y = x with the axes from start_dim on made one: (N, C, H, W) -> (N, C*H*W)."""

    def __init__(self, start_dim: int = 1) -> None:
        if start_dim < 0:
            raise ConfigError(f"Flatten: start_dim must be 0 or more, got {start_dim}")
        self.start_dim = start_dim

    def forward(self, x: Array) -> Array:
        if x.ndim <= self.start_dim:
            raise ShapeError(
                f"Flatten(start_dim={self.start_dim}) expects more than {self.start_dim} axes, got {x.shape}"
            )
        self.cache = x.shape
        return x.reshape(self._flat(x.shape))  # a view of x where that can be

    def backward(self, dy: Array) -> Array:
        shape = self.take_cache()
        check_upstream("Flatten", dy, self._flat(shape))
        return dy.reshape(shape)

    def _flat(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        # Not (N, -1): reshape cannot tell what -1 is when N is 0.
        return (*shape[: self.start_dim], math.prod(shape[self.start_dim :]))

    def extra_repr(self) -> str:
        return "" if self.start_dim == 1 else f"start_dim={self.start_dim}"
