"""Activations against their formulas, point by point, and their slopes against differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from minicnn import functional
from minicnn.errors import ConfigError
from minicnn.functional import gelu_forward, relu_backward, relu_forward
from tests.support.arrays import assert_close, separated
from tests.support.differences import check_gradients
from tests.support.strategies import image_shapes, seeds

# name, options, the formula for one number
FORMULAS = [
    ("relu", {}, lambda x: max(x, 0.0)),
    ("leaky_relu", {}, lambda x: x if x > 0 else 0.01 * x),
    ("leaky_relu", {"negative_slope": 0.3}, lambda x: x if x > 0 else 0.3 * x),
    ("elu", {}, lambda x: x if x > 0 else math.exp(x) - 1),
    ("elu", {"alpha": 2.5}, lambda x: x if x > 0 else 2.5 * (math.exp(x) - 1)),
    ("sigmoid", {}, lambda x: 1 / (1 + math.exp(-x))),
    ("tanh", {}, lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x))),
    ("gelu", {}, lambda x: x * float(special.ndtr(x))),
    (
        "gelu",
        {"approximate": "tanh"},
        lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
]
IDS = [f"{name}-{'-'.join(map(str, options.values())) or 'default'}" for name, options, _ in FORMULAS]


def functions(name):
    return getattr(functional, f"{name}_forward"), getattr(functional, f"{name}_backward")


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS, ids=IDS)
@given(shape=image_shapes, seed=seeds)
def test_forward_is_its_formula(name, options, formula, shape, seed):
    x = 3 * np.random.default_rng(seed).standard_normal(shape)
    forward, _ = functions(name)
    expected = np.vectorize(formula, otypes=[float])(x)
    assert_close(forward(x, **options)[0], expected, 1e-13)  # far below 0, GELU is a small difference


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS, ids=IDS)
@given(seed=seeds)
def test_backward_agrees_with_differences(name, options, formula, seed):
    rng = np.random.default_rng(seed)
    x = separated(rng, (2, 3, 2, 5))  # from -3 to 3, never within a step of 0
    forward, backward = functions(name)
    _, cache = forward(x, **options)
    check_gradients(lambda x: forward(x, **options)[0], {"x": x}, lambda v: {"x": backward(v, cache)}, rng)


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS, ids=IDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_neither_overflow_nor_warn(name, options, formula, dtype):
    """Far to the right y is x or 1, far to the left a constant or linear; the slopes are finite."""
    forward, backward = functions(name)
    x = np.array([-1e4, -200.0, -90.0, 90.0, 200.0, 1e4], dtype=dtype)
    y, cache = forward(x, **options)
    dx = backward(np.ones_like(y), cache)
    right = np.ones(3) if name in ("sigmoid", "tanh") else x[3:]
    np.testing.assert_allclose(y[3:], right, rtol=1e-6)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()
    np.testing.assert_allclose(dx[3:], 0 if name in ("sigmoid", "tanh") else 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4), (2, 1, 3, 2, 2)])
@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS, ids=IDS)
def test_any_number_of_axes(name, options, formula, shape, rng):
    forward, backward = functions(name)
    y, cache = forward(np.asarray(rng.standard_normal(shape)), **options)
    assert np.shape(y) == shape
    assert np.shape(backward(np.asarray(rng.standard_normal(shape)), cache)) == shape


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu"])
def test_at_zero_the_slope_is_the_left_one(name):
    """As in PyTorch: 0 for ReLU, negative_slope, alpha."""
    forward, backward = functions(name)
    y, cache = forward(np.array([0.0, -0.0]))
    np.testing.assert_array_equal(y, 0)
    left = {"relu": 0, "leaky_relu": 0.01, "elu": 1}[name]
    np.testing.assert_array_equal(backward(np.ones(2), cache), left)


def test_relu_masks_by_the_sign_of_x_and_not_of_dy():
    _, cache = relu_forward(np.array([1.0, -1.0, 1.0, -1.0]))
    np.testing.assert_array_equal(relu_backward(np.array([-2.0, 2.0, 3.0, -3.0]), cache), [-2, 0, 3, 0])


def test_small_negative_x_keep_their_digits_in_elu():
    """expm1, not exp - 1: the latter would give 0."""
    np.testing.assert_allclose(functional.elu_forward(np.array([-1e-20]))[0], [-1e-20])


@given(st.floats(-30, 30))
def test_sigmoid_of_x_and_minus_x_add_up_to_one(x):
    y, _ = functional.sigmoid_forward(np.array([x, -x]))
    assert y.sum() == pytest.approx(1, rel=1e-15)


def test_the_two_gelus_are_not_the_same():
    x = np.linspace(-3, 3, 13)
    exact, approximate = gelu_forward(x)[0], gelu_forward(x, "tanh")[0]
    assert 1e-5 < np.abs(exact - approximate).max() < 1e-3


def test_an_unknown_gelu_is_refused():
    with pytest.raises(ConfigError, match='approximate must be "none" or "tanh", got \'sigmoid\''):
        gelu_forward(np.zeros(3), "sigmoid")


def test_a_slope_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="negative_slope must be a number, got 'steep'"):
        functional.leaky_relu_forward(np.zeros(3), "steep")
