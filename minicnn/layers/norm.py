"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.functional.batch_norm2d import (
    batch_norm2d_backward,
    batch_norm2d_backward_onto,
    batch_norm2d_forward,
    batch_norm2d_relu_forward,
)
from minicnn.functional.local_response_norm import local_response_norm_backward, local_response_norm_forward
from minicnn.layers.base import Buffer, Layer, Parameter, is_trained, value_of


class BatchNorm2d(Layer):
    """Normalise every channel, with the batch's statistics in training, the running ones in eval.

    x (N, num_features, H, W) -> y, the same shape. After each forward in training mode
    running <- (1 - momentum) running + momentum batch, where the running variance takes the
    unbiased estimate. momentum=None averages over all batches seen. See
    functional.batch_norm2d_forward.
    """

    can_add_onto = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        if num_features < 1:
            raise ConfigError(f"BatchNorm2d: num_features must be positive, got {num_features}")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features, dtype=np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype=np.float32)) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Buffer(np.zeros(num_features, dtype=np.float32))
            self.running_var = Buffer(np.ones(num_features, dtype=np.float32))
            self.num_batches_tracked = Buffer(np.zeros((), dtype=np.int64))

    def forward(self, x: Array) -> Array:
        y, self.cache = done = batch_norm2d_forward(x, *self._affine(), **self._statistics())
        self._update_running(done[1], x)
        return y

    def forward_relu(self, x: Array, shortcut: Array | None = None) -> Array | None:
        """max(forward(x) + shortcut, 0) in one pass; None, and nothing done, where no kernel can: see fusion.py."""
        done = batch_norm2d_relu_forward(x, *self._affine(), **self._statistics(), shortcut=shortcut)
        if done is None:
            return None
        y, self.cache = done
        self._update_running(done[1], x)
        return y

    def _affine(self) -> tuple[Array | None, Array | None]:
        return value_of(self.weight), value_of(self.bias)

    def _statistics(self) -> dict[str, Any]:
        """What to normalise with: None for the batch's own mean and variance."""
        use_running = not self.training and self.running_mean is not None
        return {
            "mean": self.running_mean.value if use_running and self.running_mean is not None else None,
            "var": self.running_var.value if use_running and self.running_var is not None else None,
            "eps": self.eps,
        }

    def backward(self, dy: Array, onto: Array | None = None) -> Array:
        """dx, or dx + onto where paths meet: `onto` is then given up and may be written into."""
        if onto is None:
            dx, dweight, dbias = batch_norm2d_backward(dy, self.take_cache(), self._needs())
        else:
            dx, dweight, dbias = batch_norm2d_backward_onto(dy, self.take_cache(), self._needs(), onto)
        self._accumulate(dweight, dbias)
        return dx

    def backward_shortcut(self, dy: Array) -> tuple[Array, Array]:
        """After forward_relu(x, shortcut): the gradients of x and of the shortcut, the caller's own."""
        dx, dweight, dbias, dshortcut = self.take_cache().backward_shortcut(dy, self._needs())
        self._accumulate(dweight, dbias)
        return dx, dshortcut

    def _needs(self) -> tuple[bool, bool, bool]:
        return True, is_trained(self.weight), is_trained(self.bias)

    def _accumulate(self, dweight: Array | None, dbias: Array | None) -> None:
        if self.weight is not None and self.bias is not None:
            self.weight.accumulate(dweight)
            self.bias.accumulate(dbias)

    def _update_running(self, cache: Any, x: Array) -> None:
        """In training mode only; cache is BatchNorm2dCache or a kernel's, with the batch's mean and var."""
        if not self.training:
            return
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        count = x.shape[0] * x.shape[2] * x.shape[3]
        self.num_batches_tracked.value += 1
        # momentum=None is a cumulative average: the new value weighs 1/n.
        weight = 1 / int(self.num_batches_tracked.value) if self.momentum is None else self.momentum
        unbiased = count / (count - 1)
        for buffer, batch, share in (
            (self.running_mean, cache.mean, weight),
            (self.running_var, cache.var, weight * unbiased),
        ):
            buffer.value *= 1 - weight
            buffer.value += share * batch

    def extra_repr(self) -> str:
        shown = [str(self.num_features)]
        if self.eps != 1e-5:
            shown.append(f"eps={self.eps}")
        if self.momentum != 0.1:
            shown.append(f"momentum={self.momentum}")
        if self.weight is None:
            shown.append("affine=False")
        if self.running_mean is None:
            shown.append("track_running_stats=False")
        return ", ".join(shown)


class LocalResponseNorm(Layer):
    """Divide every value by a power of its neighbouring channels' energy (AlexNet)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Array) -> Array:
        y, self.cache = local_response_norm_forward(x, self.size, self.alpha, self.beta, self.k)
        return y

    def backward(self, dy: Array) -> Array:
        return local_response_norm_backward(dy, self.take_cache())

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
