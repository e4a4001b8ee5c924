"""inference(): a context in which nothing is kept."""

import threading

import numpy as np
import pytest

import minicnn
from minicnn.errors import CacheError
from minicnn.layers import Dropout, ReLU, Sequential
from minicnn.layers.inference import evaluating, inference, is_inference

X = np.ones((2, 3), dtype=np.float32)


def test_it_is_offered_at_the_top_and_among_the_layers():
    assert minicnn.inference is inference
    assert minicnn.layers.inference is inference


def test_it_nests_and_ends_with_an_error():
    with inference():
        with inference():
            assert is_inference()
        assert is_inference()
    assert not is_inference()
    with pytest.raises(ValueError, match="inside"), inference():
        raise ValueError("inside")
    assert not is_inference()


def test_another_thread_is_not_in_it():
    seen = []
    with inference():
        thread = threading.Thread(target=lambda: seen.append(is_inference()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_a_forward_in_it_empties_the_cache_of_an_earlier_one():
    """Else backward would take the cache of a forward that was not the last."""
    layer = ReLU()
    layer(X)
    with inference():
        layer(-X)
    with pytest.raises(CacheError):
        layer.backward(X)


def test_it_does_not_change_the_mode():
    layer = Dropout(0.5, rng=np.random.default_rng(0))
    with inference():
        assert layer.training
        layer(X)
    assert layer.offset == 1


def test_evaluating_puts_back_every_mode_and_cache():
    model = Sequential(ReLU(), Dropout(0.5, rng=np.random.default_rng(0)))
    model[0].eval()
    y = model(X)
    with evaluating(model):
        assert is_inference()
        np.testing.assert_array_equal(model(2 * X), 2 * X)
    assert [layer.training for layer in (model, *model)] == [True, False, True]
    np.testing.assert_array_equal(model.backward(X), y)


def test_evaluating_puts_everything_back_after_an_error():
    model = Sequential(ReLU())
    model(X)
    with pytest.raises(ValueError, match="inside"), evaluating(model):
        raise ValueError("inside")
    assert model.training
    model.backward(X)
