"""Mistakes in linear layers, losses and branches."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.mutants.mutant import Mutant, Pair


def linear(mistake: str) -> tuple[Any, Any]:
    def forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, Any]:
        return np.einsum("nd,md->nm", x, weight) + bias, (x, weight)

    def backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, weight = cache
        dx = np.einsum("nm,dm->nd" if mistake == "dX with the weight transposed" else "nm,md->nd", dy, weight)
        dweight = np.einsum("nm,nd->dm" if mistake == "dW transposed" else "nm,nd->md", dy, x)
        if mistake == "dW transposed, not square":
            dweight = dweight.T
        dbias = dy if mistake == "linear bias unsummed" else dy.sum(axis=0)
        return dx, dweight, dbias

    return forward, backward


def linear_mutant(
    name: str, features: tuple[int, int], words: tuple[str, ...], named_by: str = "cause"
) -> Mutant:
    def build(broken: bool, rng: np.random.Generator) -> Pair:
        d, m = features
        arrays = rng.standard_normal((5, d)), rng.standard_normal((m, d)), rng.standard_normal(m)
        return Pair(*linear(name if broken else ""), arrays)

    return Mutant(name, build, words, named_by)


def loss_mutant(name: str, words: tuple[str, ...], smoothing: float = 0.0, guard: float = 0.0) -> Mutant:
    """Mean softmax cross entropy of 6 samples and 4 classes, labels closed over."""

    def build(broken: bool, rng: np.random.Generator) -> Pair:
        labels = rng.integers(0, 4, 6)
        target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
        mistake = name if broken else ""
        inside = guard if broken else 0.0

        def forward(logits: np.ndarray) -> tuple[np.ndarray, Any]:
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            return np.asarray(-(target * np.log(p + inside)).sum() / 6), p

        def backward(dy: np.ndarray, p: np.ndarray) -> np.ndarray:
            if mistake == "loss: not divided by N":
                return dy * (p - target)
            if mistake == "loss: smoothing ignored":
                return dy * (p - np.eye(4)[labels]) / 6
            return dy * (p - target) / 6

        return Pair(forward, backward, (rng.standard_normal((6, 4)),))

    return Mutant(name, build, words)


def residual(broken: bool, rng: np.random.Generator) -> Pair:
    """y = tanh(x A) + x, with the skip connection left out of backward."""
    matrix = rng.standard_normal((5, 5))

    def forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
        body = np.tanh(x @ matrix)
        return body + x, body

    def backward(dy: np.ndarray, body: np.ndarray) -> np.ndarray:
        dx = (dy * (1 - body**2)) @ matrix.T
        return dx if broken else dx + dy

    return Pair(forward, backward, (rng.standard_normal((4, 5)),))


def concat(broken: bool, rng: np.random.Generator) -> Pair:
    """Channels joined; backward starts the second part one channel too early."""

    def forward(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Any]:
        return np.concatenate([a, b], axis=1), a.shape[1]

    def backward(dy: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
        second = dy[:, split - 1 : -1] if broken else dy[:, split:]
        return dy[:, :split].copy(), second.copy()

    return Pair(forward, backward, (rng.standard_normal((2, 3, 3, 3)), rng.standard_normal((2, 4, 3, 3))))


def branches(broken: bool, rng: np.random.Generator) -> Pair:
    """Two branches of one input, joined; backward gives each branch the other's channels."""

    def forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
        return np.concatenate([np.sin(x), x**2], axis=1), x

    def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        first, second = np.split(dy, 2, axis=1)
        if broken:
            first, second = second, first
        return first * np.cos(x) + second * 2 * x

    return Pair(forward, backward, (rng.standard_normal((2, 3, 3, 3)),))


MUTANTS = [
    linear_mutant("dW transposed", (4, 4), ("transposed",)),
    linear_mutant("dW transposed, not square", (4, 3), ("transposed",), "finding"),
    linear_mutant("dX with the weight transposed", (4, 4), ("transposed",)),
    linear_mutant("linear bias unsummed", (4, 3), ("not summed",), "finding"),
    loss_mutant("loss: not divided by N", ("not divided by the batch size",)),
    loss_mutant("loss: smoothing ignored", ("label smoothing is ignored",), smoothing=0.1),
    loss_mutant("loss: log(p + 1e-7)", ("log(p + 1e-07)",), guard=1e-7),
    Mutant("skip connection left out", residual, ("skip connection",)),
    Mutant("concat split misaligned", concat, ("split",)),
    Mutant("branches get each other's channels", branches, ("split",)),
]
