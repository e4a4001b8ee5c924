"""Curves and thresholds: against the definition, pair by pair and threshold by threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, DataError, LabelError, ShapeError
from minicnn.train.curves import best_threshold, precision_recall_curve, roc_curve

problems = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda pairs: len({label for label, _ in pairs}) == 2
)


def arrays(pairs):
    return np.array([label for label, _ in pairs]), np.array([score / 6 for _, score in pairs])


@given(problems)
def test_the_roc_area_is_the_chance_of_the_right_order(pairs):
    labels, scores = arrays(pairs)
    difference = scores[labels][:, None] - scores[~labels][None]
    assert roc_curve(labels, scores).area == pytest.approx(
        ((difference > 0) + 0.5 * (difference == 0)).mean()
    )


@given(problems)
def test_every_point_is_what_its_threshold_gives(pairs):
    labels, scores = arrays(pairs)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    assert len(thresholds) == len(np.unique(scores))
    for p, r, threshold in zip(precision, recall, thresholds):
        predicted = scores >= threshold
        assert p == pytest.approx(labels[predicted].mean())
        assert r == pytest.approx(predicted[labels].mean())
    alarms, finds, thresholds = roc_curve(labels, scores)
    for f, t, threshold in zip(alarms, finds, thresholds):
        predicted = scores >= threshold
        assert f == pytest.approx(predicted[~labels].mean())
        assert t == pytest.approx(predicted[labels].mean())
    assert (alarms[0], finds[0], alarms[-1], finds[-1]) == (0, 0, 1, 1)


def test_average_precision_by_hand():
    """Ranks 1 and 3 of 4 are of the class: (1/1 + 2/3) / 2."""
    assert precision_recall_curve([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]).area == pytest.approx((1 + 2 / 3) / 2)


def test_perfect_and_useless_scores():
    labels = np.array([True] * 5 + [False] * 15)
    assert roc_curve(labels, labels.astype(float)).area == 1
    assert roc_curve(labels, -labels.astype(float)).area == 0
    assert roc_curve(labels, np.zeros(20)).area == 0.5
    assert precision_recall_curve(labels, np.zeros(20)).area == 0.25


@given(problems)
def test_no_threshold_has_a_better_f1(pairs):
    labels, scores = arrays(pairs)
    best = best_threshold(labels, scores)
    for threshold in np.unique(scores):
        predicted = scores >= threshold
        right = (predicted & labels).sum()
        assert best.f1 >= 2 * right / (predicted.sum() + labels.sum()) - 1e-12
    predicted = scores >= best.threshold
    assert best.recall == pytest.approx(predicted[labels].mean())


def test_a_threshold_with_a_condition():
    labels = np.array([1, 1, 0, 1, 0, 0, 1])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    assert best_threshold(labels, scores, min_recall=0.75).threshold == 0.6
    assert best_threshold(labels, scores, min_precision=0.9) == pytest.approx((0.8, 1.0, 0.5, 2 / 3))
    assert best_threshold(labels, scores, min_recall=1.0).precision == pytest.approx(4 / 7)
    with pytest.raises(ConfigError, match="not both"):
        best_threshold(labels, scores, min_recall=0.5, min_precision=0.5)
    with pytest.raises(ConfigError, match=r"no threshold reaches a precision of 0\.9: the best is 0\.500"):
        best_threshold([0, 1], [0.9, 0.1], min_precision=0.9)


@pytest.mark.parametrize(
    ("labels", "scores", "error", "message"),
    [
        ([], [], DataError, "needs samples, got none"),
        ([1, 0], [0.5], ShapeError, r"\(N,\) each"),
        ([1, 2], [0.5, 0.5], LabelError, "True for the class"),
        ([1, 0], [0.5, np.nan], DataError, "NaN"),
        ([1, 1], [0.5, 0.5], DataError, "of the class and of the rest"),
    ],
)
def test_what_makes_no_sense_is_answered(labels, scores, error, message):
    with pytest.raises(error, match=message):
        roc_curve(np.array(labels), np.array(scores))


def test_precision_and_recall_need_the_class():
    with pytest.raises(DataError, match="needs samples of the class"):
        precision_recall_curve(np.zeros(3), np.arange(3))
