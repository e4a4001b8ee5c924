"""What is special to the Dropout layer: its seed and its offset."""

import numpy as np
import pytest

import minicnn
from minicnn.errors import ConfigError
from minicnn.layers import Dropout, ReLU, Sequential

ONES = np.ones((4, 50), dtype=np.float32)


def make(seed=1, p=0.5):
    return Dropout(p, rng=np.random.default_rng(seed))


def test_every_forward_in_training_draws_another_mask():
    layer = make()
    assert (layer(ONES) != layer(ONES)).any()
    assert layer.offset == 2


def test_setting_seed_and_offset_back_replays_the_masks():
    layer = make()
    first, second = layer(ONES), layer(ONES)
    layer.offset = 0
    np.testing.assert_array_equal(layer(ONES), first)
    other = Dropout()
    other.seed, other.offset = layer.seed, 1
    np.testing.assert_array_equal(other(ONES), second)


def test_evaluation_is_the_identity_and_draws_nothing():
    layer = make().eval()
    np.testing.assert_array_equal(layer(ONES), ONES)
    np.testing.assert_array_equal(layer.backward(ONES), ONES)
    assert layer.offset == 0


def test_the_mode_of_the_forward_counts_for_its_backward():
    layer = make()
    y = layer(ONES)
    np.testing.assert_array_equal(layer.eval().backward(ONES), y)


def test_backward_uses_the_mask_of_its_forward():
    layer = make()
    np.testing.assert_array_equal(layer(ONES), layer.backward(ONES))


def test_one_generator_seeds_many_layers_differently_and_again_the_same():
    def masks():
        rng = np.random.default_rng(3)
        return [Dropout(rng=rng)(ONES), Dropout(rng=rng)(ONES)]

    first, second = masks()
    assert (first != second).any()
    np.testing.assert_array_equal(masks(), [first, second])


def test_without_a_generator_every_layer_is_different():
    assert Dropout().seed != Dropout().seed


def test_inference_keeps_nothing_and_still_drops_in_training_mode():
    layer = make()
    with minicnn.inference():
        assert (layer(ONES) == 0).any()


def test_a_state_dict_holds_nothing_of_it():
    assert list(Sequential(make(), ReLU()).state_dict()) == []


@pytest.mark.parametrize("p", [-0.1, 1.01, float("nan")])
def test_p_is_a_probability(p):
    with pytest.raises(ConfigError, match="p is the probability of dropping, from 0 to 1"):
        Dropout(p)


def test_repr():
    assert repr(Dropout(0.3)) == "Dropout(p=0.3)"
