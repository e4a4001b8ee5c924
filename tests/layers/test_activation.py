"""What is special to the activation layers."""

import numpy as np
import pytest

from minicnn.layers import ELU, GELU, Identity, LeakyReLU, LogSoftmax, ReLU, Sequential, Softmax


def test_repr_shows_the_arguments():
    shown = [
        repr(layer) for layer in (ReLU(), LeakyReLU(0.2), ELU(2.0), GELU("tanh"), Softmax(), LogSoftmax(1))
    ]
    assert shown == [
        "ReLU()",
        "LeakyReLU(negative_slope=0.2)",
        "ELU(alpha=2.0)",
        "GELU(approximate='tanh')",
        "Softmax(dim=-1)",
        "LogSoftmax(dim=1)",
    ]


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(), ELU()], ids=repr)
def test_the_signature_is_the_mask_of_what_is_positive(layer):
    layer(np.array([-1.0, 0.0, 2.0]))
    (mask,) = layer.signature()
    np.testing.assert_array_equal(mask, [False, False, True])


def test_the_signature_of_a_network_lists_its_layers_in_order():
    network = Sequential(ReLU(), LeakyReLU(-1.0), ReLU())
    network(np.array([-1.0, 2.0]))
    assert [mask.tolist() for mask in network.signature()] == [[False, True], [False, True], [False, True]]


def test_identity_gives_back_the_very_array():
    layer, x, dy = Identity(), np.ones(3), np.ones(3)
    assert layer(x) is x
    assert layer.backward(dy) is dy
