"""The V-curve: where each rule is most exact, and how exact it gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.errors import ConfigError, DTypeError
from minicnn.gradcheck import step_sweep

X = np.linspace(0.2, 1.0, 5)


def smooth(x: np.ndarray) -> np.ndarray:
    return np.exp(np.sin(x))


def test_the_rules_reach_their_theoretical_best() -> None:
    """Forward √eps, central eps^(2/3), Richardson more, complex eps itself."""
    sweep = step_sweep(smooth, X)
    best = {rule: sweep.best(rule, "float64")[1] for rule in ("forward", "central", "richardson", "complex")}
    assert 1e-10 < best["forward"] < 1e-7
    assert 1e-13 < best["central"] < 1e-9
    assert best["richardson"] < 1e-12
    assert best["complex"] < 1e-15
    assert sweep.best("central", "float32")[1] > 1e3 * best["central"]


def test_errors_fall_with_the_order_of_the_rule() -> None:
    sweep = step_sweep(smooth, X, steps=np.array([1e-2, 1e-3]))
    for rule, order in (("forward", 1), ("central", 2), ("complex", 2)):
        large, small = sweep.errors[rule, "float64"]
        assert np.log10(large / small) == pytest.approx(order, abs=0.1)


def test_the_complex_step_needs_no_small_difference() -> None:
    sweep = step_sweep(smooth, X, methods=("complex",), dtypes=("float64",), steps=np.array([1e-30, 1e-100]))
    assert np.all(sweep.errors["complex", "float64"] < 1e-15)


def test_the_complex_step_is_wrong_where_the_function_is_not_analytic() -> None:
    sweep = step_sweep(lambda x: x * np.conj(x), X, dtypes=("float64",))
    assert sweep.best("complex", "float64")[1] > 0.1
    assert sweep.best("central", "float64")[1] < 1e-8


def test_a_function_that_takes_no_complex_numbers() -> None:
    sweep = step_sweep(lambda x: np.cbrt(x), X)
    assert np.all(np.isnan(sweep.errors["complex", "float64"]))
    assert sweep.best("central", "float64")[1] < 1e-8


def test_numbers_work_like_arrays() -> None:
    sweep = step_sweep(np.sin, np.float64(0.5))
    assert sweep.exact == pytest.approx(np.cos(0.5), abs=1e-15)


def test_the_figure_has_a_panel_per_precision_and_a_curve_per_rule() -> None:
    figure = step_sweep(smooth, X).plot()
    assert [axes.get_title() for axes in figure.axes] == ["float64", "float32"]
    assert all(
        len([line for line in axes.lines if not str(line.get_label()).startswith("_")]) == 4
        for axes in figure.axes
    )


def test_the_data_can_be_saved() -> None:
    data: Any = step_sweep(smooth, X, methods=("central",), dtypes=("float64",)).to_dict()
    assert len(data["errors"]["central float64"]) == len(data["steps"])


def test_bad_arguments_are_answered() -> None:
    with pytest.raises(ConfigError, match="did you mean 'central'"):
        step_sweep(smooth, X, methods=("centre",))
    with pytest.raises(DTypeError, match=r"x\.astype"):
        step_sweep(smooth, np.arange(3))
