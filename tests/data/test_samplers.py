from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import BalancedBatchSampler, OverSampler, UnderSampler, WeightedRandomSampler, class_weights
from minicnn.errors import ConfigError, LabelError
from tests.support.strategies import seeds

labels_lists = st.lists(st.sampled_from([0, 1, 3]), min_size=1, max_size=60).map(np.array)


@given(labels_lists, seeds)
def test_oversampling_repeats_evenly(labels, seed):
    sampler = OverSampler(labels)
    drawn = sampler.draw(np.random.default_rng(seed))
    largest = np.bincount(labels).max()
    present = np.unique(labels)
    assert len(drawn) == len(sampler) == largest * len(present)
    np.testing.assert_array_equal(np.bincount(labels[drawn])[present], largest)
    times = np.bincount(drawn, minlength=len(labels))
    for label in present:
        own = times[labels == label]
        assert own.min() >= 1
        assert own.max() - own.min() <= 1


@given(labels_lists, seeds)
def test_undersampling_takes_no_sample_twice(labels, seed):
    sampler = UnderSampler(labels)
    drawn = sampler.draw(np.random.default_rng(seed))
    present = np.unique(labels)
    smallest = np.bincount(labels)[present].min()
    assert len(drawn) == len(sampler) == smallest * len(present)
    assert len(set(drawn.tolist())) == len(drawn)
    np.testing.assert_array_equal(np.bincount(labels[drawn])[present], smallest)


def test_undersampling_comes_round_to_every_sample():
    labels = np.array([0] * 30 + [1] * 3)
    sampler, rng = UnderSampler(labels), np.random.default_rng(0)
    assert set(np.concatenate([sampler.draw(rng) for _ in range(100)])) == set(range(33))


@given(labels_lists, seeds, st.integers(3, 20))
def test_every_batch_is_balanced(labels, seed, batch_size):
    sampler = BalancedBatchSampler(labels, batch_size)
    drawn = sampler.draw(np.random.default_rng(seed))
    assert len(drawn) == len(sampler) == len(OverSampler(labels))
    present = np.unique(labels)
    for start in range(0, len(drawn), batch_size):
        counts = np.bincount(labels[drawn[start : start + batch_size]], minlength=4)[present]
        assert counts.max() - counts.min() <= 1


def test_a_batch_too_small_for_the_classes():
    with pytest.raises(ConfigError, match="batches of 2 cannot hold each of 3 classes"):
        BalancedBatchSampler([0, 1, 2], 2)


def test_weights_are_probabilities():
    sampler = WeightedRandomSampler([1, 0, 3], 20_000)
    share = np.bincount(sampler.draw(np.random.default_rng(0)), minlength=3) / 20_000
    np.testing.assert_allclose(share, [0.25, 0, 0.75], atol=0.02)
    once = WeightedRandomSampler([1, 1, 0, 1], 3, replacement=False)
    assert sorted(once.draw(np.random.default_rng(0))) == [0, 1, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -1],), "0 or more and not all 0"),
        (([0, 0],), "0 or more and not all 0"),
        (([1, np.nan],), "0 or more and not all 0"),
        (([1, 0, 1], 3, False), "cannot draw 3 samples from 2 without replacement"),
        (([1], 0), "cannot draw 0 samples"),
    ],
)
def test_weights_that_make_no_sense(arguments, message):
    with pytest.raises(ConfigError, match=message):
        WeightedRandomSampler(*arguments)


@pytest.mark.parametrize("make", [OverSampler, UnderSampler, class_weights])
def test_labels_that_are_no_classes(make):
    for wrong in ([], [0.5, 1.0], np.eye(3, dtype=int)):
        with pytest.raises(LabelError, match="class numbers"):
            make(wrong)


@given(labels_lists)
def test_class_weights_make_every_class_weigh_the_same(labels):
    weights = class_weights(labels, 5)
    assert (weights.dtype, weights.shape) == (np.float32, (5,))
    totals = np.bincount(labels, weights[labels], minlength=5)
    present = np.bincount(labels, minlength=5) > 0
    np.testing.assert_allclose(totals[present], len(labels) / present.sum(), rtol=1e-5)
    assert not weights[~present].any()
