"""Gradients from the outside: central differences in float64, element by element.

For a function y = f(a, b, ...) and a random cotangent v, <v, y> is one number, and the backward
pass claims to know its derivative with respect to every element. Here each claim is compared with

    (<v, f(a + h e)> - <v, f(a - h e)>) / 2h.

The cotangent is random, never ones: ones hide whatever sums to zero. Inputs with kinks must be
made by tests.support.arrays.separated, so that no step crosses one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

STEP = 1e-4  # truncation about h² = 1e-8, rounding about eps / h = 1e-12
TOLERANCE = 1e-6
LIMIT = 40  # elements of one array that are checked; of a larger one a random choice


def check_gradients(
    f: Callable[..., np.ndarray],
    arrays: Mapping[str, np.ndarray],
    gradients: Callable[[np.ndarray], Mapping[str, np.ndarray | None]],
    rng: np.random.Generator,
    tolerance: float = TOLERANCE,
) -> None:
    """Compare gradients(v) with the central differences of f(**arrays), array by array.

    gradients(v) is called once, right after f(**arrays), and gives the analytic gradient of
    <v, f(**arrays)> by name; arrays that it does not name are taken as constants. Every
    element is moved alone (up to LIMIT of them), and then all together in a random direction.
    """
    rng = rng.spawn(1)[0]  # a stream of its own: the caller may have drawn the arrays from the same seed
    y = f(**arrays)
    assert y.dtype == np.float64
    v = rng.standard_normal(y.shape)
    analytic = gradients(v)

    def slope(name: str, direction: np.ndarray) -> float:
        moved = {sign: f(**{**arrays, name: arrays[name] + sign * STEP * direction}) for sign in (1, -1)}
        return float((v * (moved[1] - moved[-1])).sum() / (2 * STEP))

    for name, gradient in analytic.items():
        assert gradient is not None, f"no gradient for {name}"
        assert gradient.shape == arrays[name].shape, f"gradient of {name} has shape {gradient.shape}"
        assert np.isfinite(gradient).all(), f"gradient of {name} is not finite"
        scale = max(np.abs(gradient).max(initial=0.0), 1e-2)
        size = gradient.size
        for index in rng.permutation(size)[:LIMIT]:
            element = np.zeros(size)
            element[index] = 1
            numeric = slope(name, element.reshape(gradient.shape))
            where = np.unravel_index(index, gradient.shape)
            claimed = float(gradient[where])
            assert abs(claimed - numeric) <= tolerance * scale, (
                f"d{name}{[int(i) for i in where]}: backward says {claimed!r}, differences say {numeric!r}"
            )
        direction = rng.uniform(-1, 1, gradient.shape)
        claimed, numeric = float((gradient * direction).sum()), slope(name, direction)
        assert abs(claimed - numeric) <= tolerance * scale * max(size, 1), (
            f"along a random direction of {name}: backward says {claimed!r}, differences say {numeric!r}"
        )
