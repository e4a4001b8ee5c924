"""What is special to the pooling layers: their arguments."""

import numpy as np
import pytest

from minicnn.errors import ConfigError
from minicnn.layers import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d


@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
def test_windows_stand_side_by_side_unless_a_stride_is_given(pool):
    x = np.zeros((1, 1, 6, 6), dtype=np.float32)
    assert pool((2, 3))(x).shape == (1, 1, 3, 2)
    assert pool((2, 3), 1)(x).shape == (1, 1, 5, 4)


@pytest.mark.parametrize("pool", [MaxPool2d, AvgPool2d])
def test_impossible_arguments_are_refused_when_the_layer_is_made(pool):
    for arguments in ((0,), (2, 0), (2, 1, -1), (2.5,), ("2",)):
        with pytest.raises(ConfigError, match=rf"{pool.__name__}: (kernel_size|stride|padding) must be"):
            pool(*arguments)


def test_repr_shows_what_is_not_the_default():
    assert repr(MaxPool2d(2)) == "MaxPool2d(kernel_size=(2, 2), stride=(2, 2))"
    assert repr(MaxPool2d(3, 2, 1, 2, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), ceil_mode=True)"
    )
    assert repr(AvgPool2d(3, count_include_pad=False, divisor_override=4)) == (
        "AvgPool2d(kernel_size=(3, 3), stride=(3, 3), count_include_pad=False, divisor_override=4)"
    )
    assert repr(AdaptiveAvgPool2d((6, None))) == "AdaptiveAvgPool2d(output_size=(6, None))"


def test_adaptive_pooling_gives_one_size_for_all_inputs():
    layer = AdaptiveAvgPool2d(6)
    for size in (3, 6, 13):
        assert layer(np.zeros((1, 2, size, size + 1), dtype=np.float32)).shape == (1, 2, 6, 6)


def test_the_signature_of_max_pooling_is_where_each_maximum_came_from():
    layer = MaxPool2d(2)
    layer(np.array([[[[0.0, 1.0], [2.0, 3.0]]]]))
    (argmax,) = layer.signature()
    np.testing.assert_array_equal(argmax, [[[[3]]]])
