"""The focal loss: its formula, what it becomes at gamma 0, its gradient, and where p is 0 or 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, LabelError
from minicnn.functional.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minicnn.functional.focal_loss import focal_loss_backward, focal_loss_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import seeds


@st.composite
def problems(draw):
    rest = tuple(draw(st.lists(st.integers(1, 3), max_size=1)))
    n, classes = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(seeds))
    labels = rng.integers(0, classes, (n, *rest))
    if draw(st.booleans()):
        labels[rng.random(labels.shape) < 0.3] = -100
    options = {
        "gamma": draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0])),
        "weight": draw(st.sampled_from([None, rng.uniform(0.1, 2, classes)])),
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
    }
    return 2 * rng.standard_normal((n, classes, *rest)), labels, options, rng


def by_definition(logits, labels, gamma, weight, reduction):
    weight = np.ones(logits.shape[1]) if weight is None else weight
    losses, counted = np.zeros(labels.shape), 0.0
    for index in np.ndindex(*labels.shape):
        if labels[index] == -100:
            continue
        scores = logits[(index[0], slice(None), *index[1:])]
        p = (np.exp(scores) / np.exp(scores).sum())[labels[index]]
        losses[index] = -weight[labels[index]] * (1 - p) ** gamma * np.log(p)
        counted += weight[labels[index]]
    if reduction == "none":
        return losses
    return losses.sum() / (1 if reduction == "sum" else counted or np.nan)


def assert_same(loss, expected, tolerance):
    if np.isnan(expected).any():  # the mean of nothing
        assert np.isnan(loss).all()
    else:
        assert_close(loss, expected, tolerance)


@given(problems())
def test_it_is_its_definition(problem):
    logits, labels, options, _ = problem
    loss, _ = focal_loss_forward(logits, labels, **options)
    assert_same(loss, by_definition(logits, labels, **options), 1e-10)


@given(problems())
def test_the_gradient_is_that_of_finite_differences(problem):
    logits, labels, options, rng = problem
    if options["reduction"] == "mean" and (labels == -100).all():
        return
    caches = []

    def f(logits):
        y, cache = focal_loss_forward(logits, labels, **options)
        caches.append(cache)
        return y

    check_gradients(f, {"logits": logits}, lambda v: {"logits": focal_loss_backward(v, caches[0])}, rng)


@given(problems())
def test_at_gamma_zero_it_is_cross_entropy(problem):
    logits, labels, options, rng = problem
    options.pop("gamma")
    loss, cache = focal_loss_forward(logits, labels, gamma=0.0, **options)
    expected, expected_cache = cross_entropy_forward(logits, labels, **options)
    assert_same(loss, expected, 1e-12)
    dy = np.asarray(rng.standard_normal(np.shape(loss)))
    assert_same(focal_loss_backward(dy, cache), cross_entropy_backward(dy, expected_cache), 1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_very_sure_is_finite_right_or_wrong(gamma, dtype):
    logits = np.array([[800.0, 0.0], [0.0, 800.0], [1e-9, 0.0]], dtype)
    loss, cache = focal_loss_forward(logits, np.array([0, 0, 0]), gamma=gamma, reduction="none")
    gradient = focal_loss_backward(np.ones(3, dtype), cache)
    assert loss[0] == 0
    assert loss[1] == pytest.approx(800)
    assert np.isfinite(gradient).all()
    assert (gradient[0] == 0).all()
    np.testing.assert_allclose(gradient[1], [-1, 1])


def test_what_is_easy_counts_a_hundredth():
    """p = 0.9 at gamma 2: the paper's own example."""
    logits = np.log(np.array([[0.9, 0.1]]))
    focal, _ = focal_loss_forward(logits, np.array([0]), gamma=2.0)
    plain, _ = cross_entropy_forward(logits, np.array([0]))
    assert focal / plain == pytest.approx(0.01)


def test_mistakes_are_answered():
    logits = np.zeros((2, 3))
    with pytest.raises(ConfigError, match="focal_loss: gamma must be 0 or more, got -1"):
        focal_loss_forward(logits, np.array([0, 1]), gamma=-1)
    with pytest.raises(ConfigError, match="focal_loss: unknown reduction"):
        focal_loss_forward(logits, np.array([0, 1]), reduction="avg")
    with pytest.raises(LabelError, match="focal_loss expects one class number per sample"):
        focal_loss_forward(logits, np.zeros((2, 3), int))
    with pytest.raises(LabelError, match="labels start at 0"):
        focal_loss_forward(logits, np.array([0, 3]))
