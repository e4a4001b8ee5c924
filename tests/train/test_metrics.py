"""Metrics against examples counted by hand and against their definitions, sample by sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minicnn.errors import ConfigError, LabelError, ShapeError
from minicnn.train import Evaluation, accuracy, class_metrics, confusion_matrix, top_k_accuracy

# Cats 0, dogs 1, birds 2; two cats and a bird are taken for dogs.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 1, 1, 1, 1, 1])


@st.composite
def classified(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray]:
    """(K, labels, scores): the scores from few values, so that there are ties."""
    classes, samples = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    labels = draw(arrays(np.int64, samples, elements=st.integers(0, classes - 1)))
    scores = draw(arrays(np.float64, (samples, classes), elements=st.integers(-2, 2).map(float)))
    return classes, labels, scores


class TestByHand:
    def test_accuracy(self) -> None:
        assert accuracy(LABELS, PREDICTED) == 3 / 6

    def test_confusion_matrix(self) -> None:
        assert confusion_matrix(LABELS, PREDICTED, 3).tolist() == [[1, 2, 0], [0, 2, 0], [0, 1, 0]]

    def test_per_class(self) -> None:
        metrics = class_metrics(confusion_matrix(LABELS, PREDICTED, 3))
        np.testing.assert_allclose(metrics.precision, [1, 2 / 5, math.nan])
        np.testing.assert_allclose(metrics.recall, [1 / 3, 1, 0])
        np.testing.assert_allclose(metrics.f1, [2 / 4, 4 / 7, 0])
        assert metrics.support.tolist() == [3, 2, 1]

    def test_a_class_that_does_not_occur_has_no_figures(self) -> None:
        metrics = class_metrics(confusion_matrix(np.array([0]), np.array([0]), 2))
        assert np.isnan([metrics.precision[1], metrics.recall[1], metrics.f1[1]]).all()
        assert metrics.support[1] == 0

    def test_top_k(self) -> None:
        scores = np.array([[0.1, 0.5, 0.4], [0.7, 0.2, 0.1]])
        labels = np.array([2, 2])
        assert [top_k_accuracy(labels, scores, k) for k in (1, 2, 3)] == [0.0, 0.5, 1.0]

    def test_of_tied_classes_all_count_as_long_as_fewer_than_k_are_higher(self) -> None:
        scores = np.array([[1.0, 1.0, 1.0, 0.0]])
        assert top_k_accuracy(np.array([2]), scores, 1) == 1.0
        assert top_k_accuracy(np.array([3]), scores, 3) == 0.0

    def test_nothing_has_no_accuracy(self) -> None:
        none = np.zeros(0, np.int64)
        assert math.isnan(accuracy(none, none))
        assert math.isnan(top_k_accuracy(none, np.zeros((0, 3)), 1))
        assert confusion_matrix(none, none, 2).tolist() == [[0, 0], [0, 0]]

    def test_lists_will_do(self) -> None:
        assert accuracy([0, 1, 1], [0, 1, 0]) == pytest.approx(2 / 3)  # type: ignore[arg-type]
        assert confusion_matrix([0, 1], [1, 1], 2).tolist() == [[0, 1], [0, 1]]  # type: ignore[arg-type]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int32])
    def test_any_integers_will_do(self, dtype: type) -> None:
        """In uint8, 200 * 201 would overflow."""
        labels = np.array([100, 3], dtype)
        counts = confusion_matrix(labels, labels, 101)
        assert counts[100, 100] == counts[3, 3] == 1
        assert counts.sum() == 2


class TestByDefinition:
    @given(classified())
    def test_confusion_matrix_counts_pairs(self, drawn: tuple[int, np.ndarray, np.ndarray]) -> None:
        classes, labels, scores = drawn
        predicted = scores.argmax(axis=1)
        counts = confusion_matrix(labels, predicted, classes)
        for i in range(classes):
            for j in range(classes):
                assert counts[i, j] == sum(a == i and b == j for a, b in zip(labels, predicted))
        assert accuracy(labels, predicted) == pytest.approx(np.trace(counts) / counts.sum())

    @given(classified())
    def test_precision_recall_and_f1(self, drawn: tuple[int, np.ndarray, np.ndarray]) -> None:
        classes, labels, scores = drawn
        predicted = scores.argmax(axis=1)
        metrics = class_metrics(confusion_matrix(labels, predicted, classes))
        for k in range(classes):
            hits = sum((labels == k) & (predicted == k))
            misses, false_alarms = (
                sum((labels == k) & (predicted != k)),
                sum((labels != k) & (predicted == k)),
            )
            for value, of in (
                (metrics.precision[k], hits + false_alarms),
                (metrics.recall[k], hits + misses),
            ):
                assert math.isnan(value) if of == 0 else value == pytest.approx(hits / of)
            if hits:  # then F1 is the harmonic mean of the two
                assert 1 / metrics.f1[k] == pytest.approx(
                    (1 / metrics.precision[k] + 1 / metrics.recall[k]) / 2
                )
            assert metrics.support[k] == hits + misses

    @given(classified(), st.data())
    def test_top_k(self, drawn: tuple[int, np.ndarray, np.ndarray], data: st.DataObject) -> None:
        classes, labels, scores = drawn
        k = data.draw(st.integers(1, classes))
        hits = [sum(s > row[label] for s in row) < k for label, row in zip(labels, scores)]
        assert top_k_accuracy(labels, scores, k) == pytest.approx(np.mean(hits))
        assert top_k_accuracy(labels, scores, classes) == 1.0

    @given(classified())
    def test_top_1_of_distinct_scores_is_the_accuracy(
        self, drawn: tuple[int, np.ndarray, np.ndarray]
    ) -> None:
        classes, labels, scores = drawn
        distinct = scores + np.linspace(0, 0.5, classes)
        assert top_k_accuracy(labels, distinct, 1) == accuracy(labels, distinct.argmax(axis=1))


class TestEvaluation:
    def test_everything_follows_from_outputs_and_labels(self) -> None:
        outputs = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 2.0, 1.0]])
        evaluation = Evaluation(loss=0.5, outputs=outputs, labels=np.array([0, 2, 1]))
        assert evaluation.predictions.tolist() == [0, 1, 1]
        assert evaluation.accuracy == pytest.approx(2 / 3)
        assert evaluation.top_k_accuracy(2) == 1.0
        assert evaluation.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]
        assert evaluation.per_class.support.tolist() == [1, 1, 1]


class TestMistakes:
    def test_as_many_predictions_as_labels(self) -> None:
        for metric in (accuracy, lambda a, b: confusion_matrix(a, b, 3)):
            with pytest.raises(ShapeError, match=r"class numbers, \(N,\) each, got \(6,\) and \(5,\)"):
                metric(LABELS, PREDICTED[:5])

    def test_scores_are_not_predictions(self) -> None:
        """As many samples as classes would be broadcast to a number that looks like an accuracy."""
        with pytest.raises(ShapeError, match=r"scores become predictions by scores.argmax\(axis=1\)"):
            accuracy(np.arange(3), np.eye(3))
        with pytest.raises(ShapeError, match="argmax"):
            accuracy(LABELS, PREDICTED[:, None])

    def test_labels_without_a_class(self) -> None:
        with pytest.raises(
            LabelError, match="labels run from 0 to 2, but 2 classes are numbered from 0 to 1"
        ):
            confusion_matrix(LABELS, np.zeros(6, np.int64), 2)
        with pytest.raises(LabelError, match="predictions run from -1 to 1"):
            confusion_matrix(np.array([0, 1]), np.array([-1, 1]), 2)
        with pytest.raises(LabelError, match="labels run from 0 to 3, but 3 classes"):
            top_k_accuracy(np.array([0, 3]), np.zeros((2, 3)), 1)

    def test_predictions_are_integers(self) -> None:
        with pytest.raises(LabelError, match="predictions are class numbers, so integers, got float64"):
            confusion_matrix(np.array([0, 1]), np.array([0.0, 1.0]), 2)

    @pytest.mark.parametrize("k", [0, 4, -1])
    def test_k_is_between_1_and_the_classes(self, k: int) -> None:
        with pytest.raises(ConfigError, match=f"from 1 to the number of classes 3, got {k}"):
            top_k_accuracy(np.array([0]), np.zeros((1, 3)), k)

    def test_scores_have_a_row_a_label(self) -> None:
        with pytest.raises(ShapeError, match=r"labels \(N,\) and scores \(N, K\), got \(2,\) and \(3, 4\)"):
            top_k_accuracy(np.array([0, 1]), np.zeros((3, 4)), 1)
