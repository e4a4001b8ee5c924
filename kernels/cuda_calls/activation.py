"""Element-wise functions: see cuda/activation.cu."""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch

# The numbers that the kernels know the functions by.
RELU, LEAKY_RELU, ELU, SIGMOID, TANH, GELU, GELU_TANH = range(7)


class ActivationCache(NamedTuple):
    """x, or for ReLU y, which is positive in the same places and is kept anyway."""

    kept: Any
    kind: int
    number: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.kept.shape

    @property
    def dtype(self) -> Any:
        return self.kept.dtype

    @property
    def mask(self) -> Any:
        """Where x > 0: the active set of a ReLU."""
        return self.kept > 0

    @property
    def negative_slope(self) -> float:
        """LeakyReLU's number, by the name that its definition gives it."""
        return self.number

    def backward(self, dy: Any) -> Any:
        return _backward(dy, *self)


def forward(x: Any, kind: int = RELU, number: float = 0.0) -> tuple[Any, ActivationCache]:
    """y = f(x); number is LeakyReLU's slope or ELU's alpha."""
    x = contiguous(x)
    y = empty(x.shape, like=x)
    launch("activation.cu", "activation_forward", x.size, (x, y, kind, number, x.size))
    return y, ActivationCache(y if kind == RELU else x, kind, number)


def _backward(dy: Any, kept: Any, kind: int, number: float) -> Any:
    dy = contiguous(dy)
    dx = empty(dy.shape, like=dy)
    launch("activation.cu", "activation_backward", dy.size, (dy, kept, dx, kind, number, dy.size))
    return dx


def relu_backward(dy: Any, y: Any) -> Any:
    """dy where y > 0, else 0. Both in C order."""
    return _backward(dy, y, RELU, 0.0)


def bias_relu(y: Any, bias: Any | None, relu: bool) -> None:
    """In place, y (N, M) += bias (M,), then ReLU if wanted."""
    if bias is not None or relu:
        launch("activation.cu", "bias_relu", y.size, (y, bias, y.shape[1], relu, y.size))
