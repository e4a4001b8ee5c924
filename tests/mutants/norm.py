"""Mistakes in the backward pass of batch normalisation, on rows (M, C) made of the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.mutants.mutant import Mutant, Pair

EPS = 1e-5


def rows(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def images(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    n, c, h, w = shape
    return array.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def normalisation(mistake: str, running: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[Any, Any]:
    """forward and backward; with running statistics that of evaluation. mistake "" gives the twin."""

    def forward(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, Any]:
        flat = rows(x)
        mean, var = (flat.mean(axis=0), flat.var(axis=0)) if running is None else running
        return images((flat - mean) / np.sqrt(var + EPS) * gamma + beta, x.shape), (x, gamma, mean, var)

    def backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, gamma, mean, var = cache
        flat, dflat = rows(x), rows(dy)
        count = len(flat)
        std = np.sqrt(var + EPS)
        if mistake == "eps left out":
            std = np.sqrt(var)
        if mistake == "N-1 for N":
            std = np.sqrt(flat.var(axis=0, ddof=1) + EPS)
        centred = flat - mean
        xhat = centred / np.sqrt(var + EPS)
        dgamma = (dflat * (flat if mistake == "dgamma from raw x" else xhat)).sum(axis=0)
        scaled = dflat * gamma
        if running is None or mistake == "eval mode using the training backward":
            # Step by step, as one derives it: through the variance, then through the mean.
            dvar = (scaled * centred).sum(axis=0) * -0.5 / std**3
            dmean = -scaled.sum(axis=0) / std
            if mistake == "variance term missing":
                dvar = 0 * dvar
            if mistake == "mean term missing":
                dmean = 0 * dmean
            dx = scaled / std + dvar * 2 * centred / count + dmean / count
        else:
            dx = scaled / std
        return images(dx, x.shape), dgamma, dflat.sum(axis=0)

    return forward, backward


def norm_mutant(name: str, words: tuple[str, ...], evaluation: bool = False, spread: float = 1.0) -> Mutant:
    def build(broken: bool, rng: np.random.Generator) -> Pair:
        x = 0.5 + spread * rng.standard_normal((4, 3, 3, 3))
        running = (rng.standard_normal(3), 0.5 + rng.random(3)) if evaluation else None
        arrays = (x, rng.standard_normal(3), rng.standard_normal(3))
        return Pair(*normalisation(name if broken else "", running), arrays)

    return Mutant(name, build, words)


MUTANTS = [
    norm_mutant("mean term missing", ("through the batch mean",)),
    norm_mutant("variance term missing", ("through the batch variance",)),
    norm_mutant("dgamma from raw x", ("raw x",)),
    norm_mutant("eps left out", ("eps is left out",)),
    norm_mutant("N-1 for N", ("M − 1",)),
    norm_mutant("eval mode using the training backward", ("evaluation mode",), evaluation=True),
]
