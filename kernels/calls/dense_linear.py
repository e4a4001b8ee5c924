"""The fully connected layer with the batch innermost: see cpu/linear_dn.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.calls import tiles
from minicnn.kernels.cpu import linear_dn
from minicnn.kernels.cpu.elementwise import where_positive
from minicnn.kernels.cpu.lanes import LANES
from minicnn.kernels.cpu.layout import DN, ND, arrange
from minicnn.kernels.memory import empty, zeros


class DenseLinearCache(NamedTuple):
    """What the kernels' backward needs. Arrays are stored (D, N), N at least a vector wide."""

    x: np.ndarray
    weight: np.ndarray  # (M, D)
    has_bias: bool
    batch: int
    y: np.ndarray | None  # kept where a ReLU was applied to it

    @property
    def shape(self) -> tuple[int, ...]:
        return self.batch, self.weight.shape[0]

    def backward(self, dy: np.ndarray, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        return _backward(self, dy, needs)


def forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, relu: bool = False
) -> tuple[np.ndarray, DenseLinearCache]:
    batch, out_features = x.shape[0], weight.shape[0]
    x = _with_full_vectors(x)
    weight = np.ascontiguousarray(weight)
    y = empty((out_features, x.shape[1]))
    b = zeros((out_features,)) if bias is None else np.ascontiguousarray(bias)
    linear_dn.forward(x, weight, b, y, relu, tiles.outer(out_features, x.shape[1]))
    return y.T[:batch], DenseLinearCache(x, weight, bias is not None, batch, y if relu else None)


def _backward(
    cache: DenseLinearCache, dy: np.ndarray, needs: tuple[bool, bool, bool]
) -> tuple[Any, Any, Any]:
    x, weight, has_bias, batch, y = cache
    dy = _with_full_vectors(dy)
    if y is not None:
        masked = empty(dy.shape)
        where_positive(dy.reshape(-1), y.reshape(-1), masked.reshape(-1))
        dy = masked
    dx = dweight = dbias = None
    if needs[1] or needs[2]:
        dweight, dbias = empty(weight.shape), empty(weight.shape[:1])
        linear_dn.dweight(arrange(x.T, ND), dy, dweight, dbias, tiles.outer(*weight.shape))
    if needs[0]:
        out = empty(x.shape)
        linear_dn.dx(dy, weight, out, tiles.outer(weight.shape[1], x.shape[1]))
        dx = out.T[:batch]
    return dx, dweight if needs[1] else None, dbias if needs[2] and has_bias else None


def _with_full_vectors(x: np.ndarray) -> np.ndarray:
    """x stored (D, N), with zero rows added to a batch that does not fill one vector."""
    if len(x) >= LANES:
        return arrange(x, DN)
    stored = zeros((x.shape[1], LANES))
    stored[:, : len(x)] = x.T
    return stored
