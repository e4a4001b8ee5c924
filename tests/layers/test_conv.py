"""What is special to Conv2d: its arguments, its initial values and its costs."""

import numpy as np
import pytest

from minicnn.errors import ConfigError
from minicnn.layers import Conv2d


def test_the_weight_is_oihw_and_the_state_dict_is_weight_then_bias():
    state = Conv2d(6, 4, (3, 2), groups=2).state_dict()
    assert {name: array.shape for name, array in state.items()} == {"weight": (4, 3, 3, 2), "bias": (4,)}
    assert list(state) == ["weight", "bias"]
    assert list(Conv2d(1, 1, 1, bias=False).state_dict()) == ["weight"]


def test_initial_values_are_pytorchs_uniform_within_one_over_root_fan_in(rng):
    layer = Conv2d(8, 64, 5, groups=2, rng=rng)
    bound = 1 / np.sqrt(4 * 5 * 5)
    for parameter in layer.parameters():
        assert parameter.dtype == np.float32
        assert np.abs(parameter.value).max() <= bound
        assert np.abs(parameter.value).max() > 0.9 * bound
    # Uniform: the standard deviation is bound / √3; 6,400 draws, five deviations of their spread.
    assert layer.weight.value.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)


def test_without_a_generator_every_layer_is_different():
    assert (Conv2d(1, 1, 3).weight.value != Conv2d(1, 1, 3).weight.value).any()


def test_weights_are_drawn_one_after_another_from_one_generator():
    rng = np.random.default_rng(1)
    first, second = Conv2d(1, 2, 3, rng=rng), Conv2d(1, 2, 3, rng=rng)
    assert (first.weight.value != second.weight.value).any()


def test_arguments_come_in_pytorchs_order():
    layer = Conv2d(4, 6, 3, 2, 1, 2, 2, False)
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False)"
    )


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((3, 4, 3), {"groups": 2}, r"Conv2d\(3 -> 4\): .*groups=2 must divide both"),
        ((4, 3, 3), {"groups": 2}, "must divide both"),
        ((0, 4, 3), {}, "channels must be positive"),
        ((3, 4, 0), {}, "kernel_size must be at least 1, got 0"),
        ((3, 4, 3), {"stride": 0}, "stride must be at least 1, got 0"),
        ((3, 4, 3), {"padding": -1}, "padding must be at least 0, got -1"),
        ((3, 4, 3), {"padding": "valid"}, r"got 'valid' \(what others call \"valid\" is 0\)"),
        ((3, 4, 3), {"padding": "same", "stride": 2}, 'padding="same" needs stride 1, got stride'),
    ],
)
def test_impossible_arguments_are_refused_when_the_layer_is_made(arguments, options, text):
    with pytest.raises(ConfigError, match=text):
        Conv2d(*arguments, **options)


def test_multiply_adds_count_one_product_per_weight_and_output():
    layer = Conv2d(4, 6, (3, 5), stride=2, groups=2)
    assert layer.multiply_adds((2, 4, 9, 9), (2, 6, 4, 3)) == 2 * 6 * 4 * 3 * (2 * 3 * 5)
