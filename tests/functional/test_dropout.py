"""Dropout: a mask that depends on seed, offset and position, and on nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError
from minicnn.functional import dropout_backward, dropout_forward
from minicnn.functional.philox import random_bits
from tests.support.arrays import AWKWARD, separated
from tests.support.differences import check_gradients
from tests.support.strategies import image_shapes, seeds

probabilities = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@given(image_shapes, probabilities, seeds, st.integers(0, 2**64 - 1))
def test_forward_is_the_loop_over_its_definition(shape, p, seed, offset):
    """The value at C-order position i is dropped when its 32 random bits, as a fraction, are below p."""
    x = np.random.default_rng(seed).standard_normal(shape)
    y, _ = dropout_forward(x, p, seed=seed, offset=offset)
    bits = random_bits(np, x.size, seed, offset)
    expected = [value / (1 - p) if bit / 2**32 >= p else 0.0 for value, bit in zip(x.ravel(), bits.tolist())]
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-14)


@given(image_shapes, probabilities, seeds)
def test_backward_agrees_with_differences(shape, p, seed):
    rng = np.random.default_rng(seed)
    x = separated(rng, shape)
    _, cache = dropout_forward(x, p, seed=seed)
    check_gradients(
        lambda x: dropout_forward(x, p, seed=seed)[0],
        {"x": x},
        lambda v: {"x": dropout_backward(v, cache)},
        rng,
    )


@pytest.mark.parametrize("awkward", sorted(AWKWARD))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mask_is_the_same_for_any_strides_and_dtype(awkward, dtype):
    x = np.ones((3, 4, 5, 6))
    mask = dropout_forward(x, 0.5, seed=1)[0] != 0
    y, _ = dropout_forward(AWKWARD[awkward](x.astype(dtype)), 0.5, seed=1)
    np.testing.assert_array_equal(y != 0, mask)


def test_the_mask_depends_on_the_position_and_not_on_the_shape():
    flat, _ = dropout_forward(np.ones(120), 0.5, seed=1)
    shaped, _ = dropout_forward(np.ones((2, 3, 4, 5)), 0.5, seed=1)
    np.testing.assert_array_equal(shaped.ravel(), flat)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_rate_is_p_and_the_mean_is_kept(p):
    y, _ = dropout_forward(np.ones(100_000), p, seed=2)
    deviation = np.sqrt(p * (1 - p) / 100_000)
    assert abs((y == 0).mean() - p) < 5 * deviation
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p))
    assert abs(y.mean() - 1) < 5 * deviation / (1 - p)


def test_p_0_keeps_everything_and_p_1_nothing(rng):
    x = rng.standard_normal((3, 4))
    y, cache = dropout_forward(x, 0.0, seed=1)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dropout_backward(x, cache), x)
    y, cache = dropout_forward(x, 1.0, seed=1)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(dropout_backward(x, cache), 0)


def test_seed_and_offset_replay_the_mask_and_others_give_another():
    x = np.ones(64)
    first = dropout_forward(x, 0.5, seed=3, offset=4)[0]
    np.testing.assert_array_equal(dropout_forward(x, 0.5, seed=3, offset=4)[0], first)
    assert (dropout_forward(x, 0.5, seed=3, offset=5)[0] != first).any()
    assert (dropout_forward(x, 0.5, seed=4, offset=4)[0] != first).any()


def test_what_is_dropped_may_be_infinite():
    y, _ = dropout_forward(np.full(8, np.inf), 1.0, seed=0)
    np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_p_is_a_probability(p):
    with pytest.raises(ConfigError, match=f"p is the probability of dropping, from 0 to 1, got {p}"):
        dropout_forward(np.ones(3), p, seed=0)
