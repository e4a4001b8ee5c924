"""Activations as layers: each remembers what its functional pair's backward needs."""

from __future__ import annotations

from minicnn.backend import Array
from minicnn.functional.activation import (
    elu_backward,
    elu_forward,
    gelu_backward,
    gelu_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from minicnn.functional.check import check_upstream
from minicnn.functional.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from minicnn.layers.base import Layer


class Identity(Layer):
    """y = x."""

    def forward(self, x: Array) -> Array:
        self.cache = x.shape  # enough to notice a backward that does not follow this forward
        return x

    def backward(self, dy: Array) -> Array:
        check_upstream("Identity", dy, self.take_cache())
        return dy


class ReLU(Layer):
    """y = max(x, 0)."""

    def forward(self, x: Array) -> Array:
        y, self.cache = relu_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return relu_backward(dy, self.take_cache())

    def signature(self) -> tuple[Array, ...]:
        return (self.read_cache().mask,)


class LeakyReLU(Layer):
    """y = x where x > 0, else negative_slope x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Array) -> Array:
        y, self.cache = leaky_relu_forward(x, self.negative_slope)
        return y

    def backward(self, dy: Array) -> Array:
        return leaky_relu_backward(dy, self.take_cache())

    def signature(self) -> tuple[Array, ...]:
        return (self.read_cache().mask,)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Layer):
    """y = x where x > 0, else alpha (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        y, self.cache = elu_forward(x, self.alpha)
        return y

    def backward(self, dy: Array) -> Array:
        return elu_backward(dy, self.take_cache())

    def signature(self) -> tuple[Array, ...]:
        # Even with alpha = 1, where the slopes meet at 0, the second derivatives do not.
        return (self.read_cache().mask,)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Layer):
    """y = x Φ(x), exact or with the tanh approximation."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        y, self.cache = gelu_forward(x, self.approximate)
        return y

    def backward(self, dy: Array) -> Array:
        return gelu_backward(dy, self.take_cache())

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x: Array) -> Array:
        y, self.cache = sigmoid_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return sigmoid_backward(dy, self.take_cache())


class Tanh(Layer):
    """y = tanh(x)."""

    def forward(self, x: Array) -> Array:
        y, self.cache = tanh_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return tanh_backward(dy, self.take_cache())


class Softmax(Layer):
    """y = exp(x) / Σ exp(x) along dim. Not before CrossEntropyLoss, which has it built in."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        y, self.cache = softmax_forward(x, dim=self.dim)
        return y

    def backward(self, dy: Array) -> Array:
        return softmax_backward(dy, self.take_cache())

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Layer):
    """y = x - log Σ exp(x) along dim."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Array) -> Array:
        y, self.cache = log_softmax_forward(x, dim=self.dim)
        return y

    def backward(self, dy: Array) -> Array:
        return log_softmax_backward(dy, self.take_cache())

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
