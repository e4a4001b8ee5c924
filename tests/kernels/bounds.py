"""How far a kernel may be from the definition in float64.

A sum of L products in float32 is off by at most about L u Σ|a b| (u = 2⁻²⁴), whatever the order
of summation (Higham, Accuracy and stability of numerical algorithms, ch. 3). Kernels sum in
vectors and tiles, so a few √L u would do; the bound must hold always.
"""

from __future__ import annotations

import numpy as np

U = 2.0**-24


def assert_close_sum(result: np.ndarray, exact: np.ndarray, magnitude: np.ndarray, length: int) -> None:
    """|result - exact| <= (length + 4) u magnitude, where magnitude is the sum of absolute products."""
    assert result.dtype == np.float32
    assert result.shape == exact.shape
    error, bound = np.abs(result - exact), (length + 4) * U * magnitude + 1e-30
    worst = np.unravel_index(np.argmax(error - bound), error.shape) if error.size else ()
    assert error.size == 0 or error[worst] <= bound[worst], (
        f"off by {error[worst]:.2e} at {tuple(map(int, worst))}, where {bound[worst]:.2e} is allowed"
    )
