"""Mistakes in activations, dropout and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.mutants.mutant import LayerAt, Mutant, Pair

Builder = Callable[[bool, np.random.Generator], Pair | LayerAt]


def on(shape: tuple[int, ...], forward: Any, right: Any, wrong: Any) -> Builder:
    """A pair of one array whose backward is `right` or `wrong`."""

    def build(broken: bool, rng: np.random.Generator) -> Pair:
        return Pair(forward, wrong if broken else right, (rng.standard_normal(shape),))

    return build


def gelu_with_tanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2, x


def gelu_tanh_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    slope = math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)
    return dy * ((1 + np.tanh(inner)) / 2 + x / 2 / np.cosh(inner) ** 2 * slope)


def gelu_exact_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    below = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x.ravel()]).reshape(x.shape)
    return dy * (below + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def softmax(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    return y, y


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([(np.diag(row) - np.outer(row, row)) @ g for row, g in zip(y, dy)])


class Dropout:
    """Inverted dropout with its own generator, as students write it."""

    def __init__(self, mistake: str, seed: int) -> None:
        self.mistake, self.rng, self.p = mistake, np.random.default_rng(seed), 0.4

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.mask = self.rng.random(x.shape) >= self.p
        return x * self.mask / (1 - self.p)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if self.mistake == "mask not applied":
            return dy / (1 - self.p)
        if self.mistake == "not scaled":
            return dy * self.mask
        if self.mistake == "redrawn":
            return dy * (self.rng.random(dy.shape) >= self.p) / (1 - self.p)
        return dy * self.mask / (1 - self.p)


def dropout_mutant(mistake: str, words: tuple[str, ...]) -> Mutant:
    def build(broken: bool, rng: np.random.Generator) -> LayerAt:
        return LayerAt(
            Dropout(mistake if broken else "", int(rng.integers(1 << 30))), rng.standard_normal((5, 8))
        )

    return Mutant(f"dropout: {mistake}", build, words)


MUTANTS = [
    Mutant(
        "ReLU masking dy by dy",
        on(
            (4, 9),
            lambda x: (np.maximum(x, 0), x),
            lambda dy, x: dy * (x > 0),
            lambda dy, x: np.maximum(dy, 0),
        ),
        ("its own sign",),
    ),
    Mutant(
        "forward and backward of different GELU formulas",
        on((4, 6), gelu_with_tanh, gelu_tanh_backward, gelu_exact_backward),
        ("different formulas",),
    ),
    Mutant(
        "softmax: diagonal only",
        on((4, 5), softmax, softmax_backward, lambda dy, y: dy * (y - y * y)),
        ("diagonal",),
    ),
    Mutant(
        "sign",
        on((3, 4), lambda x: (np.sin(x), x), lambda dy, x: dy * np.cos(x), lambda dy, x: -dy * np.cos(x)),
        ("sign",),
    ),
    Mutant(
        "sigmoid derived from its input",
        on(
            (3, 5),
            lambda x: (1 / (1 + np.exp(-x)), x),
            lambda dy, x: dy / (2 + np.exp(x) + np.exp(-x)),
            lambda dy, x: dy * x * (1 - x),
        ),
        ("from x instead of the output",),
    ),
    dropout_mutant("mask not applied", ("mask is not applied",)),
    dropout_mutant("not scaled", ("scale",)),
    dropout_mutant("redrawn", ("another mask",)),
]
