"""Initial weights: fans, bounds, moments, orthogonality, seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import init
from minicnn.errors import ConfigError, ShapeError

# name -> (function, standard deviation from (fan_in, fan_out))
DRAWN = {
    "xavier_uniform": (init.xavier_uniform, lambda i, o: math.sqrt(2 / (i + o))),
    "xavier_normal": (init.xavier_normal, lambda i, o: math.sqrt(2 / (i + o))),
    "kaiming_uniform": (init.kaiming_uniform, lambda i, o: math.sqrt(2 / i)),
    "kaiming_normal": (init.kaiming_normal, lambda i, o: math.sqrt(2 / i)),
    "lecun_uniform": (init.lecun_uniform, lambda i, o: math.sqrt(1 / i)),
    "lecun_normal": (init.lecun_normal, lambda i, o: math.sqrt(1 / i)),
}
shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)


@pytest.mark.parametrize(("function", "std"), DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("shape", [(60, 80, 3, 3), (200, 300)])
def test_moments(function, std, shape, rng):
    weight = function(shape, rng=rng)
    fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    assert weight.shape == shape
    assert weight.dtype == np.float32
    expected = std(fan_in, fan_out)
    assert weight.std() == pytest.approx(expected, rel=0.02)
    assert weight.mean() == pytest.approx(0, abs=0.02 * expected)
    if "uniform" in function.__name__:
        assert np.abs(weight).max() == pytest.approx(math.sqrt(3) * expected, rel=0.01)
    else:
        assert np.mean(np.abs(weight) > 2 * expected) == pytest.approx(0.0455, abs=0.005)  # two sigma


@given(shapes)
def test_fans_are_inputs_of_an_output_and_outputs_of_an_input(shape):
    fan_in, fan_out = init.fan_in_and_fan_out(shape)
    assert fan_in == np.zeros(shape)[0].size
    assert fan_out == np.zeros(shape)[:, 0].size


def test_modes_and_gains(rng):
    shape = (200, 50, 3, 3)
    out = init.kaiming_normal(shape, rng=rng, mode="fan_out", nonlinearity="relu")
    assert out.std() == pytest.approx(math.sqrt(2 / (200 * 9)), rel=0.02)
    tanh = init.xavier_uniform(shape, rng=rng, gain=init.calculate_gain("tanh"))
    assert tanh.std() == pytest.approx(5 / 3 * math.sqrt(2 / (250 * 9)), rel=0.02)
    leaky = init.kaiming_uniform(shape, rng=rng, a=1.0)
    assert leaky.std() == pytest.approx(math.sqrt(1 / (50 * 9)), rel=0.02)


def test_calculate_gain():
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert (
        init.calculate_gain("linear") == init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    )
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("selu") == 0.75
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


@given(shapes, st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, math.sqrt(2)]))
def test_orthogonal_rows_or_columns(shape, seed, gain):
    weight = init.orthogonal(shape, rng=np.random.default_rng(seed), gain=gain)
    assert weight.dtype == np.float32
    assert weight.flags.c_contiguous
    matrix = weight.reshape(shape[0], -1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    np.testing.assert_allclose(matrix @ matrix.T, gain**2 * np.eye(len(matrix)), atol=1e-5)


def test_orthogonal_matrices_have_no_preferred_sign():
    diagonal = [init.orthogonal((3, 3), rng=np.random.default_rng(seed))[0, 0] for seed in range(200)]
    assert 60 < sum(value > 0 for value in diagonal) < 140


def test_activations_keep_their_size_through_relu_layers_under_kaiming(rng):
    x = rng.standard_normal((256, 100)).astype(np.float32)
    for _ in range(10):
        x = np.maximum(x @ init.kaiming_normal((100, 100), rng=rng).T, 0)
    assert 0.3 < (x**2).mean() < 3


def test_default_weight_and_bias_are_pytorchs(rng):
    weight = init.default_weight((200, 16, 3, 3), rng)
    bias = init.default_bias((2000, 16, 3, 3), rng)
    bound = 1 / math.sqrt(16 * 9)
    for array in (weight, bias):
        assert array.dtype == np.float32
        assert np.abs(array).max() <= bound * (1 + 1e-6)
        assert array.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert bias.shape == (2000,)


def test_constants():
    for array, value in [(init.zeros((2, 3)), 0), (init.ones((2, 3)), 1), (init.constant((2, 3), 0.5), 0.5)]:
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, np.full((2, 3), value))


def test_plain_distributions(rng):
    flat = init.uniform((5000,), rng=rng, low=2, high=4)
    assert flat.dtype == np.float32
    assert 2 <= flat.min() < 2.01
    assert 3.99 < flat.max() <= 4
    bell = init.normal((5000,), rng=rng, mean=3, std=2)
    assert (bell.dtype, round(float(bell.mean()))) == (np.float32, 3)
    assert bell.std() == pytest.approx(2, rel=0.05)


FUNCTIONS = {name: function for name, (function, _) in DRAWN.items()} | {"orthogonal": init.orthogonal}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_generator_alone_decides(function):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (function((4, 3), rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_vector_has_no_fans(function, rng):
    with pytest.raises(ShapeError, match=r"two or more axes, .* got \(4,\): a bias starts with zeros"):
        function((4,), rng=rng)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0, 3, 3)])
def test_empty_weights(function, shape, rng):
    assert function(shape, rng=rng).shape == shape


def test_unknown_names_get_the_nearest(rng):
    with pytest.raises(ConfigError, match=r"no gain for nonlinearity 'relux': did you mean 'relu'\?"):
        init.calculate_gain("relux")
    with pytest.raises(ConfigError, match=r'unknown mode "?\'?fan_inn\'?"?: expected "fan_in" or "fan_out"'):
        init.kaiming_normal((2, 2), rng=rng, mode="fan_inn")
