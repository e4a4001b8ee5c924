"""The tableau is exact where theory says so, and its error bound holds."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.gradcheck.richardson import EPS, Tableau, measured_noise


def tableau_of(f, noise: float, rows: int, step: float = 0.25) -> Tableau:  # type: ignore[no-untyped-def]
    tableau = Tableau(np.array([noise]))
    for level in range(rows):
        h = step / 2**level
        tableau.add(h, np.array([[f(h) - f(-h)]]))
    return tableau


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8))
def test_polynomials_up_to_degree_eight_are_differentiated_exactly(coefficients: list[float]) -> None:
    """The j-th column is free of all powers up to h^2j; five rows make the fifth column."""

    def f(t: float) -> float:
        return sum(c * t**k for k, c in enumerate(coefficients))

    noise = 16 * EPS * sum(map(abs, coefficients))
    tableau = tableau_of(f, noise, 5, step=1.0)
    assert abs(tableau.value[0, 0] - coefficients[1]) <= tableau.error[0] + 1e-15
    assert tableau.error[0] <= 1e3 * noise + 1e-14


@given(st.floats(0.3, 4), st.floats(-2, 2), st.integers(3, 8))
def test_the_error_bound_holds_for_smooth_functions(frequency: float, phase: float, rows: int) -> None:
    tableau = tableau_of(lambda t: math.sin(frequency * t + phase), 16 * EPS, rows)
    off = abs(tableau.value[0, 0] - frequency * math.cos(phase))
    assert off <= tableau.error[0]


def test_more_rows_make_the_bound_smaller_until_rounding_takes_over() -> None:
    errors = [tableau_of(math.exp, 16 * EPS, rows).error[0] for rows in range(2, 6)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12
    assert tableau_of(math.exp, 16 * EPS, 6).converged().all()


def test_a_corner_off_centre_is_not_certified() -> None:
    tableau = tableau_of(lambda t: max(t - 0.01, 0.0), 16 * EPS, 4)
    assert tableau.error[0] > 1e-3


def test_the_error_of_a_direction_is_the_largest_over_its_cotangents() -> None:
    tableau = Tableau(np.array([1e-15, 1e-15]))
    for level in range(3):
        h = 0.25 / 2**level
        # The second cotangent sees a function that is far from a polynomial.
        tableau.add(h, np.array([[2 * h, np.tan(6 * h) - np.tan(-6 * h)]]))
    assert tableau.error[0] > 1e-3


def test_noise_is_measured_and_smoothness_is_not_mistaken_for_it() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(1, 8) * 1e-6
    smooth = np.sin(3 * t)[:, None] * np.ones(200)
    noisy = smooth + 1e-9 * rng.standard_normal((7, 200))
    assert measured_noise(smooth).max() < 1e-16
    assert 0.7e-9 < np.sqrt(np.mean(measured_noise(noisy) ** 2)) < 1.4e-9
