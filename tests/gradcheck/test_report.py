"""The report is readable, asserts, draws, and turns into plain data."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from minicnn import layers
from minicnn.gradcheck import Report, Verdict, check_function, check_layer

X = np.random.default_rng(0).standard_normal((2, 2, 4, 4))


def wrong_report() -> Report:
    return check_function(
        lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (dy > 0), X, name="a student's relu"
    )


def test_a_failing_report_shows_the_worst_element_and_the_cause() -> None:
    report = wrong_report()
    worst = report["x"].worst
    assert worst is not None
    assert worst.index is not None
    assert worst.difference == max(c.difference for c in report["x"].comparisons if c.index is not None)
    text = str(report)
    for part in (
        "a student's relu: FAIL",
        "worst at",
        "analytic",
        "numeric",
        "bound",
        "ratio",
        "likely cause",
    ):
        assert part in text
    assert "dy is masked by its own sign" in text
    assert report["x"].wrong_elements > 5
    assert report.has("not linear in dy")


def test_a_passing_report_says_what_the_control_rejected() -> None:
    report = check_layer(layers.Conv2d(2, 3, 3), X).assert_ok()
    assert report.ok
    assert all(array.control_rejected for array in report.arrays)
    assert "was rejected for x, weight, bias" in str(report)
    assert str(report).count("\n") < 12


def test_a_report_turns_into_json() -> None:
    data = json.loads(json.dumps(wrong_report().to_dict()))
    assert data["verdict"] == "FAIL"
    assert data["arrays"][0]["name"] == "x"
    assert data["arrays"][0]["index"] is not None
    assert data["causes"]
    assert data["findings"][0]["kind"]


def test_assert_ok_raises_with_the_whole_report() -> None:
    with pytest.raises(AssertionError, match="likely cause"):
        wrong_report().assert_ok()
    report = check_layer(layers.Tanh(), X)
    assert report.assert_ok() is report


def test_an_unknown_array_is_answered() -> None:
    with pytest.raises(KeyError, match="no array 'bias'"):
        wrong_report()["bias"]


def test_the_figure_shows_error_against_step_and_the_error_by_index() -> None:
    curve_panel, map_panel, *_ = wrong_report().plot().axes
    assert "error against step" in curve_panel.get_title()
    assert "error of x by index" in map_panel.get_title()
    ratios = check_layer(layers.Linear(4, 3), (5, 4)).plot().axes[1]
    assert ratios.get_title() == "how much of the bound is used"
    all_shapes = check_layer(layers.Linear(4, 3), (5, 4), elements=True).plot()
    assert "by index" in all_shapes.axes[1].get_title()


def test_the_curve_of_a_right_gradient_is_a_v_and_that_of_a_wrong_one_a_plateau() -> None:
    right, wrong = check_layer(layers.GELU(), X).curve, wrong_report().curve
    assert right is not None
    assert wrong is not None
    v = right().central
    assert np.nanmin(v) < 1e-7 * v[0]
    assert np.nanmin(wrong().central) > 0.1


def test_elements_can_be_asked_for() -> None:
    report = check_layer(layers.Conv2d(2, 3, 3), X, elements=True).assert_ok()
    assert report["weight"].tested_elements == 54
    assert report["weight"].numeric is not None
    assert report["weight"].analytic is not None
    assert np.allclose(report["weight"].numeric, report["weight"].analytic, rtol=1e-8)


def test_large_arrays_are_narrowed_down_to_the_part_that_is_wrong() -> None:
    def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        dx = dy * np.cos(x)
        dx[37, 41] *= 1.001
        return dx

    x = np.random.default_rng(0).standard_normal((60, 50))
    report = check_function(lambda x: (np.sin(x), x), backward, x, element_limit=200)
    worst = report["x"].worst
    assert worst is not None
    assert worst.index == (37, 41)
    assert report["x"].tested_elements <= 200


def test_verdicts_have_exit_statuses() -> None:
    assert [verdict.exit_status for verdict in Verdict] == [0, 1, 2]


def test_the_checker_needs_numpy_alone() -> None:
    """A student's layer can be checked without the rest of minicnn, matplotlib or pytest."""
    code = (
        "import sys, minicnn.gradcheck\n"
        "heavy = [m for m in sys.modules if m.split('.')[0] in ('matplotlib', 'pytest', 'hypothesis', 'numba', 'cupy')]\n"
        "ours = [m for m in sys.modules if m.startswith('minicnn.')]\n"
        "ground = ('minicnn.gradcheck', 'minicnn.errors', 'minicnn.backend')\n"
        "print(heavy, [m for m in ours if not m.startswith(ground)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
