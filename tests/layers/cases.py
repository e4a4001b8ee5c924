"""Every layer, one line each: what the contract suites run over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import layers as L
from tests.support.arrays import separated


@dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[np.random.Generator], L.Layer]
    x_shape: tuple[int, ...]
    functional: str | None = None  # the pair that the layer wraps
    kinks: bool = False  # signature() has something to tell
    mixes_samples: bool = False  # an output depends on other samples of the batch, or on the position in it
    passes_through: bool = False  # y may be (a view of) x, and dx of dy: nothing is computed
    needs_samples: bool = False  # N = 0 is an error
    training: bool = True

    def __repr__(self) -> str:
        return self.name

    def layer(self, dtype: Any = np.float32, seed: int = 3) -> L.Layer:
        """A new layer; the same seed gives the same values."""
        layer = self.build(np.random.default_rng(seed)).train(self.training)
        return layer if dtype == np.float32 else layer.astype(dtype)

    def x(self, dtype: Any = np.float32, seed: int = 0, batch: int | None = None) -> np.ndarray:
        """An input without ties and away from zero."""
        shape = self.x_shape if batch is None else (batch, *self.x_shape[1:])
        return (0.5 * separated(np.random.default_rng(seed), shape)).astype(dtype)

    def dy(self, y: np.ndarray, seed: int = 1) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)


def _randomised(norm: L.BatchNorm2d, rng: np.random.Generator) -> L.BatchNorm2d:
    """A batch norm whose weights and statistics are not those it starts with."""
    for holder in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        if holder is not None:
            holder.value[...] = rng.uniform(0.5, 1.5, holder.value.shape)
    return norm


def _residual(rng: np.random.Generator) -> L.Layer:
    body = L.Sequential(
        conv1=L.Conv2d(3, 4, 3, 2, 1, bias=False, rng=rng), bn1=L.BatchNorm2d(4), act=L.GELU()
    )
    shortcut = L.Sequential(L.Conv2d(3, 4, 1, 2, bias=False, rng=rng), L.BatchNorm2d(4))
    return L.Residual(body, shortcut)


def _dense(rng: np.random.Generator) -> L.Layer:
    def layer(channels: int) -> L.Layer:
        conv = L.Conv2d(channels, 2, 3, padding=1, bias=False, rng=rng)
        return L.Sequential(_randomised(L.BatchNorm2d(channels), rng), L.ReLU(), conv)

    return L.DenseConcat(layer(3), layer(5))


def _checkpoint(rng: np.random.Generator) -> L.Layer:
    conv, norm = L.Conv2d(3, 4, 2, bias=False, rng=rng), _randomised(L.BatchNorm2d(4), rng)
    return L.Checkpoint(L.Sequential(conv=conv, bn=norm, relu=L.ReLU()))


def _network(rng: np.random.Generator) -> L.Layer:
    return L.Sequential(
        L.Conv2d(3, 4, 3, padding=1, rng=rng),
        L.Tanh(),
        L.AvgPool2d(2),
        L.Residual(L.Sequential(L.Conv2d(4, 4, 3, padding="same", rng=rng), L.Sigmoid())),
        L.Concat(L.Conv2d(4, 2, 1, rng=rng), L.Identity()),
        L.Flatten(),
        L.Linear(24, 5, rng=rng),
    )


IMAGE = (2, 3, 5, 4)

CASES = [
    Case("Conv2d", lambda rng: L.Conv2d(3, 4, 3, rng=rng), IMAGE, "conv2d"),
    Case("Conv2d-all", lambda rng: L.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False, rng=rng), (2, 4, 5, 6), "conv2d"),
    Case("Conv2d-same", lambda rng: L.Conv2d(3, 3, (3, 2), padding="same", rng=rng), IMAGE, "conv2d"),
    Case("Linear", lambda rng: L.Linear(5, 4, rng=rng), (3, 5), "linear"),
    Case("Linear-square", lambda rng: L.Linear(5, 5, bias=False, rng=rng), (3, 5), "linear"),
    Case("MaxPool2d", lambda rng: L.MaxPool2d(2), IMAGE, "max_pool2d", kinks=True),
    Case("MaxPool2d-all", lambda rng: L.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE, "max_pool2d", kinks=True),
    Case("AvgPool2d", lambda rng: L.AvgPool2d(2), IMAGE, "avg_pool2d"),
    Case("AvgPool2d-all", lambda rng: L.AvgPool2d(3, 2, 1, True, False), IMAGE, "avg_pool2d"),
    Case("AdaptiveAvgPool2d", lambda rng: L.AdaptiveAvgPool2d((2, 3)), IMAGE, "adaptive_avg_pool2d"),
    Case("BatchNorm2d", lambda rng: _randomised(L.BatchNorm2d(3), rng), IMAGE, "batch_norm2d", mixes_samples=True, needs_samples=True),
    Case("BatchNorm2d-plain", lambda rng: L.BatchNorm2d(3, 0.1, None, False, False), IMAGE, "batch_norm2d", mixes_samples=True, needs_samples=True),
    Case("BatchNorm2d-eval", lambda rng: _randomised(L.BatchNorm2d(3), rng), IMAGE, training=False),
    Case("LocalResponseNorm", lambda rng: L.LocalResponseNorm(2, 0.5, 0.7, 2.0), IMAGE, "local_response_norm"),
    Case("ReLU", lambda rng: L.ReLU(), IMAGE, "relu", kinks=True),
    Case("LeakyReLU", lambda rng: L.LeakyReLU(0.2), IMAGE, "leaky_relu", kinks=True),
    Case("ELU", lambda rng: L.ELU(1.5), IMAGE, "elu", kinks=True),
    Case("GELU", lambda rng: L.GELU(), IMAGE, "gelu"),
    Case("GELU-tanh", lambda rng: L.GELU("tanh"), IMAGE, "gelu"),
    Case("Sigmoid", lambda rng: L.Sigmoid(), IMAGE, "sigmoid"),
    Case("Tanh", lambda rng: L.Tanh(), IMAGE, "tanh"),
    Case("Softmax", lambda rng: L.Softmax(), (3, 5), "softmax"),
    Case("LogSoftmax", lambda rng: L.LogSoftmax(1), IMAGE, "log_softmax"),
    Case("Dropout", lambda rng: L.Dropout(0.4, rng=rng), IMAGE, "dropout", mixes_samples=True),
    Case("Dropout-eval", lambda rng: L.Dropout(0.4, rng=rng), IMAGE, passes_through=True, training=False),
    Case("Identity", lambda rng: L.Identity(), IMAGE, passes_through=True),
    Case("Flatten", lambda rng: L.Flatten(), IMAGE, passes_through=True),
    Case("Sequential", lambda rng: L.Sequential(L.Conv2d(3, 4, 2, rng=rng), L.GELU(), L.AvgPool2d(2)), IMAGE),
    Case("Sequential-kinks", lambda rng: L.Sequential(a=L.ReLU(), b=L.MaxPool2d(2), c=L.Sigmoid()), IMAGE, kinks=True),
    Case("Residual", lambda rng: L.Residual(L.Conv2d(3, 3, 3, padding=1, rng=rng)), IMAGE),
    Case("Residual-projection", _residual, IMAGE, mixes_samples=True, needs_samples=True),
    Case("Concat", lambda rng: L.Concat(L.Conv2d(3, 2, 1, rng=rng), L.ReLU(), L.Conv2d(3, 1, 3, padding=1, rng=rng)), IMAGE, kinks=True),
    Case("DenseConcat", lambda rng: L.DenseConcat(L.Conv2d(3, 2, 3, padding=1, rng=rng), L.Conv2d(5, 2, 1, rng=rng), L.Tanh()), IMAGE),
    Case("DenseConcat-kinks", _dense, IMAGE, kinks=True, mixes_samples=True, needs_samples=True),
    Case("Checkpoint", lambda rng: L.Checkpoint(L.Conv2d(3, 4, 2, rng=rng)), IMAGE),
    Case("Checkpoint-all", _checkpoint, IMAGE, kinks=True, mixes_samples=True, needs_samples=True),
    Case("network", _network, IMAGE),
]  # fmt: skip
