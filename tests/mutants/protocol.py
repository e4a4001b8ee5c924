"""Mistakes in how forward and backward treat their arrays, with gradients that are right in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.layers import Parameter
from tests.mutants.mutant import LayerAt, Mutant, Pair


class Scale:
    """y = w x² with a trained w of x's row shape; one way of going wrong at a time."""

    def __init__(self, w: np.ndarray, mistake: str) -> None:
        self.w = Parameter(w)
        self.mistake = mistake

    def parameters(self) -> list[Parameter]:
        return [self.w]

    def zero_grad(self) -> None:
        self.w.zero_grad()

    def forward(self, x: np.ndarray) -> np.ndarray:
        if self.mistake == "first cache kept" and getattr(self, "x", None) is not None:
            return self.w.value * x**2
        self.x = x
        if self.mistake == "input changed in place":
            x -= 0.125
            return self.w.value * x**2
        return self.w.value * x**2

    def backward(self, dy: np.ndarray) -> np.ndarray:
        gradient = (dy * self.x**2).sum(axis=0)
        if self.mistake == "gradient assigned":
            self.w.grad = gradient
        else:
            self.w.accumulate(gradient)
        if self.mistake == "dy changed in place":
            dy *= 2 * self.w.value * self.x
            return dy
        return dy * 2 * self.w.value * self.x


def layer_mutant(mistake: str, words: tuple[str, ...]) -> Mutant:
    def build(broken: bool, rng: np.random.Generator) -> LayerAt:
        layer = Scale(rng.standard_normal(5), mistake if broken else "")
        return LayerAt(layer, rng.standard_normal((3, 5)))

    return Mutant(mistake, build, words, "finding")


def shared_buffer(broken: bool, rng: np.random.Generator) -> Pair:
    """A function that writes its cache into one buffer for all calls."""
    buffer = np.zeros((3, 4))

    def forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
        cache = buffer if broken and x.shape == buffer.shape else np.empty_like(x)
        cache[...] = x
        return x**3, cache

    def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 3 * dy * x**2

    return Pair(forward, backward, (rng.standard_normal((3, 4)),))


MUTANTS = [
    layer_mutant("gradient assigned", ("is not the sum of both",)),
    layer_mutant("input changed in place", ("changed x in place",)),
    layer_mutant("dy changed in place", ("changed dy in place",)),
    layer_mutant("first cache kept", ("replace the whole cache",)),
    Mutant("cache overwritten by a second forward", shared_buffer, ("cache of another forward",), "finding"),
]
