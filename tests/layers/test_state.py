"""load_state_dict: all or nothing when strict, what fits when not."""

import numpy as np
import pytest

from minicnn.errors import WeightsError
from minicnn.layers import BatchNorm2d, Conv2d, Linear, ReLU, Sequential


def network(seed=0, classes=3):
    rng = np.random.default_rng(seed)
    return Sequential(
        conv=Conv2d(1, 2, 3, rng=rng), bn=BatchNorm2d(2), act=ReLU(), head=Linear(4, classes, rng=rng)
    )


def same(state, other):
    return all(np.array_equal(state[name], other[name]) for name in state)


def test_missing_unexpected_and_mis_shaped_names_are_all_listed_and_nothing_is_loaded():
    model = network()
    before, state = model.state_dict(), network(1, classes=5).state_dict()
    del state["bn.running_mean"], state["conv.bias"]
    state["fc.weight"] = np.zeros(3)
    with pytest.raises(WeightsError) as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    assert "2 missing: conv.bias, bn.running_mean" in text
    assert "1 unexpected: fc.weight" in text
    assert "2 mismatched: head.weight (5, 4) for (3, 4), head.bias (5,) for (3,)" in text
    assert "nothing was loaded" in text
    assert "strict=False" in text
    assert same(model.state_dict(), before)


def test_without_strict_what_fits_is_loaded_and_the_rest_reported():
    model, state = network(), network(1, classes=5).state_dict()
    before = model.state_dict()
    del state["conv.bias"]
    state["fc.weight"] = np.zeros(3)
    report = model.load_state_dict(state, strict=False)
    assert report.missing == ["conv.bias"]
    assert report.unexpected == ["fc.weight"]
    assert report.mismatched == ["head.weight (5, 4) for (3, 4)", "head.bias (5,) for (3,)"]
    after = model.state_dict()
    np.testing.assert_array_equal(after["conv.weight"], state["conv.weight"])
    for name in ("conv.bias", "head.weight", "head.bias"):
        np.testing.assert_array_equal(after[name], before[name])


def test_a_perfect_fit_reports_nothing():
    report = network().load_state_dict(network(1).state_dict())
    assert not any(report)
    assert str(report) == "all names and shapes fit"


def test_long_lists_are_cut():
    with pytest.raises(WeightsError, match=r"9 missing: conv\.weight, .*, head\.weight, \.\.\.\)"):
        network().load_state_dict({})


def test_values_are_converted_to_the_models_dtype_and_integers_stay_integers():
    model = network()
    state = network(1).astype(np.float64).state_dict()
    state["bn.num_batches_tracked"] = np.array(7, dtype=np.int32)
    model.load_state_dict(state)
    assert model.conv.weight.dtype == np.float32
    tracked = model.bn.num_batches_tracked.value
    assert (tracked.dtype, int(tracked)) == (np.int64, 7)


def test_loading_copies_and_keeps_the_model_free_of_the_source():
    model, state = network(), network(1).state_dict()
    model.load_state_dict(state)
    state["conv.weight"][...] = 0
    assert model.conv.weight.value.any()


@pytest.mark.parametrize("awkward", [lambda a: a[::-1].copy()[::-1], lambda a: np.asfortranarray(a)])
def test_any_strides_are_loaded(awkward):
    model, state = network(), network(1).state_dict()
    model.load_state_dict({name: awkward(array) if array.ndim else array for name, array in state.items()})
    assert same(model.state_dict(), state)


def test_a_loaded_model_computes_what_the_saved_one_did(rng):
    saved, loaded = network(), network(1)
    saved.conv.weight.value *= 2
    loaded.load_state_dict(saved.state_dict())
    x = rng.standard_normal((2, 1, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(loaded.conv(x), saved.conv(x))
