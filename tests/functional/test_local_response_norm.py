"""Local response normalisation against its definition written as loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError
from minicnn.functional import local_response_norm_backward, local_response_norm_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import seeds

shapes = st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3))
options = st.fixed_dictionaries(
    {
        "size": st.integers(1, 8),
        "alpha": st.sampled_from([1e-4, 0.5, 2.0]),
        "beta": st.sampled_from([0.75, 0.5, 1.3]),
        "k": st.sampled_from([1.0, 2.0]),
    }
)


@given(shapes, options, seeds)
def test_forward_is_the_loop_over_its_definition(shape, options, seed):
    x = np.random.default_rng(seed).standard_normal(shape)
    size, expected = options["size"], np.empty(shape)
    for n, c, i, j in np.ndindex(shape):
        window = [x[n, d, i, j] for d in range(c - size // 2, c + (size - 1) // 2 + 1) if 0 <= d < shape[1]]
        energy = sum(value**2 for value in window)
        scale = options["k"] + options["alpha"] / size * energy
        expected[n, c, i, j] = x[n, c, i, j] / scale ** options["beta"]
    assert_close(local_response_norm_forward(x, **options)[0], expected, 1e-13)


@given(shapes, options, seeds)
def test_backward_agrees_with_differences(shape, options, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    _, cache = local_response_norm_forward(x, **options)
    check_gradients(
        lambda x: local_response_norm_forward(x, **options)[0],
        {"x": x},
        lambda v: {"x": local_response_norm_backward(v, cache)},
        rng,
    )


def test_alpha_is_divided_by_the_size():
    """Also at the ends, where fewer channels are summed."""
    y, _ = local_response_norm_forward(np.ones((1, 4, 1, 1)), size=4, alpha=8.0, beta=1.0, k=1.0)
    np.testing.assert_allclose(1 / y.ravel(), [1 + 2 * 2, 1 + 2 * 3, 1 + 2 * 4, 1 + 2 * 3])


def test_an_even_window_reaches_further_to_the_channels_before():
    x = np.zeros((1, 3, 1, 1))
    x[0, 1] = 1
    _, cache = local_response_norm_forward(x, size=2, alpha=2.0)
    np.testing.assert_array_equal(cache.scale.ravel(), [1, 2, 2])


def test_the_defaults_are_pytorchs():
    x = np.full((1, 1, 1, 1), 2.0)
    y, _ = local_response_norm_forward(x, 5)
    assert y.item() == pytest.approx(2 / (1 + 1e-4 / 5 * 4) ** 0.75)


@pytest.mark.parametrize("size", [0, -3])
def test_a_window_without_channels_is_refused(size):
    with pytest.raises(ConfigError, match=f"size must be at least 1, got {size}"):
        local_response_norm_forward(np.zeros((1, 2, 1, 1)), size)
