"""Derivatives from differences, with an error bound: Richardson's tableau over halved steps.

A central difference of a smooth function is off by c₂h² + c₄h⁴ + ..., so two of them, at h
and h/2, can be combined into one that is off by h⁴ only, and so on:

    T[k][0] = (φ(h_k) − φ(−h_k)) / 2h_k,   h_k = h₀ / 2ᵏ
    T[k][j] = (4ʲ T[k][j−1] − T[k−1][j−1]) / (4ʲ − 1)

The error of an entry is estimated by its distance to the two entries it was made of, plus
the rounding noise of φ carried through the same weights. The entry of least error wins.

Sources: L. F. Richardson 1911, "The approximate arithmetical solution by finite differences";
C. J. F. Ridders 1982, "Accurate computation of F'(x) and F'(x) F''(x)".
"""

from __future__ import annotations

import numpy as np

EPS = float(np.finfo(np.float64).eps)


class Tableau:
    """The tableaus of B directions at once, each for M cotangents.

    noise (M,) or (B, M): how far one value of φ may be from the truth through rounding.
    After add() has been called for h, h/2, h/4, ... `value` (B, M) and `error` (B,) hold the
    best entry of each direction. The error of a direction is the largest over its M
    cotangents: one alone may come out small by luck, M together do not.
    """

    def __init__(self, noise: np.ndarray) -> None:
        self.noise = np.asarray(noise, dtype=np.float64)
        self.value: np.ndarray = np.empty(0)
        self.error: np.ndarray = np.empty(0)
        self.rounding: np.ndarray = np.empty(0)  # the part of `error` that is rounding noise
        self.centrals: list[tuple[float, np.ndarray]] = []
        self._row: list[np.ndarray] = []
        self._row_noise: list[np.ndarray] = []

    def add(self, step: float, difference: np.ndarray) -> None:
        """One more row: difference (B, M) = φ(step) − φ(−step)."""
        row = [difference / (2 * step)]
        row_noise = [np.broadcast_to(self.noise / step, difference.shape)]
        self.centrals.append((step, row[0]))
        if not self._row:
            self.value = row[0]
            self.error = np.full(len(difference), np.inf)
            self.rounding = row_noise[0].max(axis=1)
        for j, (older, older_noise) in enumerate(zip(self._row, self._row_noise), start=1):
            weight = 4.0**j
            row.append((weight * row[-1] - older) / (weight - 1))
            row_noise.append((weight * row_noise[-1] + older_noise) / (weight - 1))
            spread = np.maximum(np.abs(row[j] - row[j - 1]), np.abs(row[j] - older)).max(axis=1)
            self._offer(row[j], spread, row_noise[j].max(axis=1))
        self._row, self._row_noise = row, row_noise

    def _offer(self, value: np.ndarray, spread: np.ndarray, rounding: np.ndarray) -> None:
        error = spread + rounding
        better = error < self.error
        self.value = np.where(better[:, None], value, self.value)
        self.error = np.where(better, error, self.error)
        self.rounding = np.where(better, rounding, self.rounding)

    def converged(self) -> np.ndarray:
        """(B,) whether more rows would only add rounding noise."""
        return self.error <= 3 * self.rounding


def measured_noise(phi: np.ndarray) -> np.ndarray:
    """The rounding noise (M,) of φ, from its values (7, M) at seven equally spaced, close points.

    A fourth difference of a smooth function over close points is nothing but noise, amplified
    by √(8! / 4!²) = √70: Moré and Wild 2011, "Estimating computational noise". It shows the
    cancellation inside a forward pass, of which the size of its output knows nothing.
    """
    fourth = np.diff(phi, n=4, axis=0)
    return np.sqrt(np.mean(fourth**2, axis=0) / 70.0)
