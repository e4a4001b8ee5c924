"""Corners and ties: nothing right is accused, nothing wrong hides there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import layers
from minicnn.gradcheck import Report, Verdict, check_function, check_layer

ZEROS = np.array([[0.0, 1.0, -2.0, 0.0, 3.0, -0.5], [2.0, 0.0, 0.0, -1.0, 1.5, 0.25]])


def check_relu(at_zero: float, x: np.ndarray = ZEROS) -> Report:
    """ReLU whose derivative at exactly 0 is taken to be `at_zero`."""

    def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return dy * np.where(x > 0, 1.0, np.where(x == 0, at_zero, 0.0))

    return check_function(lambda x: (np.maximum(x, 0), x), backward, x)


@pytest.mark.parametrize("at_zero", [0.0, 0.3, 1.0])
def test_any_slope_between_the_two_sides_is_right_at_a_corner(at_zero: float) -> None:
    report = check_relu(at_zero).assert_ok()
    assert "4 of 12 elements lie on a corner" in report["x"].note


@pytest.mark.parametrize("at_zero", [-1.0, 2.0])
def test_a_slope_outside_of_both_is_not_accepted(at_zero: float) -> None:
    assert check_relu(at_zero).verdict is not Verdict.PASS or "lie outside" in check_relu(at_zero)["x"].note


def test_a_layer_that_tells_its_active_set_is_judged_at_its_corners() -> None:
    class Wrong(layers.ReLU):
        def backward(self, dy: Any) -> Any:
            mask = self.read_cache().mask
            return np.where(self.x == 0, 2.0 * dy, super().backward(dy) + 0 * mask)

        def forward(self, x: Any) -> Any:
            self.x = x
            return super().forward(x)

    assert check_layer(Wrong(), ZEROS).verdict is Verdict.FAIL
    check_layer(layers.ReLU(), ZEROS).assert_ok()


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3))
def test_max_pooling_of_small_integers_is_never_accused(seed: int, kernel: int, stride: int) -> None:
    x = np.random.default_rng(seed).integers(-2, 3, (1, 2, 5, 5)).astype(np.float64)
    check_layer(layers.MaxPool2d(kernel, stride), x, rng=seed).assert_ok()


@given(st.integers(0, 10_000))
def test_ties_given_to_any_one_element_or_shared_are_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (4, 5)).astype(np.float64)

    def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        tied = x == x.max(axis=1, keepdims=True)
        return dy[:, None] * tied / tied.sum(axis=1, keepdims=True)

    check_function(lambda x: (x.max(axis=1), x), backward, x, rng=seed).assert_ok()


@given(st.integers(0, 10_000))
def test_ties_counted_twice_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.permuted(np.array([[1.0, 3.0, 3.0, 0.0]] * 3), axis=1) + np.arange(3)[:, None]

    def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
        return dy[:, None] * (x == x.max(axis=1, keepdims=True))

    assert check_function(lambda x: (x.max(axis=1), x), backward, x, rng=seed).verdict is Verdict.FAIL


def test_corners_near_the_input_only_make_steps_smaller() -> None:
    x = np.array([[1e-7, -2e-6, 0.5, 3e-5, -1.0, 2.0]])
    report = check_relu(0.0, x).assert_ok()
    assert report["x"].worst is not None
    assert report["x"].worst.bound < 1e-6


def test_absolute_value_and_maximum_of_two_arrays() -> None:
    check_function(lambda x: (np.abs(x), x), lambda dy, x: dy * np.sign(x), ZEROS).assert_ok()
    a, b = ZEROS, np.where(ZEROS > 1, ZEROS, 0.5)
    check_function(
        lambda a, b: (np.maximum(a, b), a >= b), lambda dy, first: (dy * first, dy * ~first), a, b
    ).assert_ok()


def test_a_block_on_a_corner_is_looked_at_close_by() -> None:
    """Corners add up inside a network: at the point itself no bound would be right."""
    rng = np.random.default_rng(0)
    net = layers.Sequential(
        layers.Conv2d(1, 3, 3, padding=1, rng=rng),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Conv2d(3, 2, 1, rng=rng),
    )
    black_border = np.pad(rng.random((2, 1, 4, 4)), ((0, 0), (0, 0), (2, 2), (2, 2)))
    report = check_layer(net, black_border).assert_ok()
    assert report.has("corner")
