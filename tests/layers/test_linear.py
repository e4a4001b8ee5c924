"""What is special to Linear and Flatten."""

import numpy as np
import pytest

from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import Flatten, Linear


def test_the_weight_is_outputs_by_inputs_and_the_state_dict_is_weight_then_bias():
    state = Linear(5, 3).state_dict()
    assert [(name, array.shape) for name, array in state.items()] == [("weight", (3, 5)), ("bias", (3,))]
    assert list(Linear(5, 3, bias=False).state_dict()) == ["weight"]


def test_initial_values_are_pytorchs_uniform_within_one_over_root_fan_in(rng):
    layer = Linear(100, 60, rng=rng)
    for parameter in layer.parameters():
        assert parameter.dtype == np.float32
        assert 0.09 < np.abs(parameter.value).max() <= 0.1
    assert layer.weight.value.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.03)


def test_features_are_positive():
    with pytest.raises(ConfigError, match=r"Linear\(0 -> 3\): features must be positive"):
        Linear(0, 3)


def test_multiply_adds_count_every_weight_once_a_row():
    assert Linear(5, 3).multiply_adds((7, 5), (7, 3)) == 7 * 15


def test_repr():
    assert repr(Linear(5, 3)) == "Linear(5, 3)"
    assert repr(Linear(5, 3, bias=False)) == "Linear(5, 3, bias=False)"
    assert repr(Flatten()) == "Flatten()"
    assert repr(Flatten(2)) == "Flatten(start_dim=2)"


@pytest.mark.parametrize(
    ("start_dim", "shape", "flat"),
    [(1, (2, 3, 4, 5), (2, 60)), (2, (2, 3, 4, 5), (2, 3, 20)), (0, (2, 3), (6,)), (1, (2, 3), (2, 3))],
)
def test_flatten_joins_the_axes_from_start_dim_on_in_c_order(start_dim, shape, flat):
    layer, x = Flatten(start_dim), np.arange(np.prod(shape)).reshape(shape) * 1.0
    y = layer(x)
    np.testing.assert_array_equal(y, x.reshape(flat))
    np.testing.assert_array_equal(layer.backward(y), x)


def test_flatten_of_an_empty_batch_knows_its_columns():
    assert Flatten()(np.zeros((0, 3, 4, 5))).shape == (0, 60)


def test_flatten_needs_an_axis_to_flatten():
    with pytest.raises(ShapeError, match=r"Flatten\(start_dim=1\) expects more than 1 axes, got \(3,\)"):
        Flatten()(np.zeros(3))
    with pytest.raises(ConfigError, match="start_dim must be 0 or more, got -1"):
        Flatten(-1)
