"""Mistakes that no list of known mistakes holds: they must be found, and no cause may be made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.mutants.conv import Setting, convolution
from tests.mutants.dense import linear
from tests.mutants.mutant import Mutant, Pair
from tests.mutants.norm import normalisation
from tests.mutants.pointwise import on, softmax, softmax_backward
from tests.mutants.pool import Setting as PoolSetting
from tests.mutants.pool import pooling

Spoil = Callable[[list[np.ndarray]], list[np.ndarray]]


def spoiled(
    pair: tuple[Any, Any], draw: Callable[[np.random.Generator], tuple[np.ndarray, ...]], spoil: Spoil
) -> Any:
    """A correct pair whose gradients are changed afterwards."""

    def build(broken: bool, rng: np.random.Generator) -> Pair:
        forward, backward = pair

        def wrong(dy: np.ndarray, cache: Any) -> Any:
            result = backward(dy, cache)
            gradients = spoil([g.copy() for g in (result if isinstance(result, tuple) else (result,))])
            return tuple(gradients) if len(gradients) > 1 else gradients[0]

        return Pair(forward, wrong if broken else backward, draw(rng))

    return build


def _conv_arrays(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((3, 2, 5, 5)), rng.standard_normal((2, 2, 3, 3)), rng.standard_normal(2)


def _norm_arrays(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(3), rng.standard_normal(3)


def _linear_arrays(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((5, 4)), rng.standard_normal((3, 4)), rng.standard_normal(3)


def _two_rows(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return rng.standard_normal((2, 4)), rng.standard_normal((3, 4)), rng.standard_normal(3)


def _doubled_loss(broken: bool, rng: np.random.Generator) -> Pair:
    """Twice too large is not "not divided by N", though N is 2."""
    hot = np.eye(3)[rng.integers(0, 3, 2)]

    def forward(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, p = softmax(logits)
        return np.asarray(-(hot * np.log(y)).sum() / 2), p

    def backward(dy: np.ndarray, p: np.ndarray) -> np.ndarray:
        return dy * (p - hot) / 2 * (2 if broken else 1)

    return Pair(forward, backward, (rng.standard_normal((2, 3)),))


def _pool_arrays(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    return (rng.standard_normal((2, 2, 7, 7)),)


CONV, NORM = convolution(Setting(), ""), normalisation("")
LINEAR, POOL = linear(""), pooling(PoolSetting(), "")


def _one_element(g: list[np.ndarray]) -> list[np.ndarray]:
    g[1].flat[7] *= 1.01
    return g


def _largest(g: list[np.ndarray]) -> list[np.ndarray]:
    g[1].flat[np.argmax(np.abs(g[1]))] *= 1 + 1e-9
    return g


MUTANTS = [
    Mutant("dW a thousandth too large", spoiled(CONV, _conv_arrays, lambda g: [g[0], g[1] * 1.001, g[2]])),
    Mutant("one element of dW off by a hundredth", spoiled(CONV, _conv_arrays, _one_element)),
    Mutant(
        "samples of dX exchanged", spoiled(CONV, _conv_arrays, lambda g: [np.roll(g[0], 1, axis=0), *g[1:]])
    ),
    Mutant(
        "input channels of dW exchanged", spoiled(CONV, _conv_arrays, lambda g: [g[0], g[1][:, ::-1], g[2]])
    ),
    Mutant("db doubled", spoiled(LINEAR, _linear_arrays, lambda g: [g[0], g[1], 2 * g[2]])),
    Mutant(
        "dX of a linear layer squared",
        spoiled(LINEAR, _linear_arrays, lambda g: [g[0] + 0.01 * g[0] ** 3, *g[1:]]),
    ),
    Mutant("absolute values of dW", spoiled(LINEAR, _linear_arrays, lambda g: [g[0], np.abs(g[1]), g[2]])),
    Mutant(
        "dgamma rounded to three digits",
        spoiled(NORM, _norm_arrays, lambda g: [g[0], np.round(g[1], 3), g[2]]),
    ),
    Mutant("dX of batch norm halved", spoiled(NORM, _norm_arrays, lambda g: [0.5 * g[0], *g[1:]])),
    Mutant(
        "one channel of dX zero",
        spoiled(NORM, _norm_arrays, lambda g: [g[0] * [[[[1]], [[0]], [[1]]]], *g[1:]]),
    ),
    Mutant(
        "dX of max pool shifted by a row", spoiled(POOL, _pool_arrays, lambda g: [np.roll(g[0], 1, axis=2)])
    ),
    Mutant(
        "softmax with a power",
        on((4, 5), softmax, softmax_backward, lambda dy, y: softmax_backward(dy, y**1.01)),
    ),
    Mutant(
        "sine with a wrong frequency",
        on(
            (3, 4),
            lambda x: (np.sin(x), x),
            lambda dy, x: dy * np.cos(x),
            lambda dy, x: dy * np.cos(1.001 * x),
        ),
    ),
    Mutant("loss of two samples doubled", _doubled_loss),
    Mutant("db of two samples halved", spoiled(LINEAR, _two_rows, lambda g: [g[0], g[1], 0.5 * g[2]])),
    Mutant("largest element of dW off by 1e-9, conv", spoiled(CONV, _conv_arrays, _largest)),
    Mutant("largest element of dW off by 1e-9, linear", spoiled(LINEAR, _linear_arrays, _largest)),
    Mutant("largest element of dgamma off by 1e-9, batch norm", spoiled(NORM, _norm_arrays, _largest)),
]
