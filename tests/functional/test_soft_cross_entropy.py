"""Cross entropy against shares: its formula, its gradients, and that whole classes give plain cross entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.cross_entropy import cross_entropy_forward
from minicnn.functional.soft_cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import seeds


@st.composite
def problems(draw):
    n, classes = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(seeds))
    options = {
        "weight": draw(st.sampled_from([None, rng.uniform(0.1, 2, classes)])),
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
    }
    return 2 * rng.standard_normal((n, classes)), rng.dirichlet(np.ones(classes), n), options, rng


@given(problems())
def test_it_is_its_definition(problem):
    logits, target, options, _ = problem
    loss, _ = soft_cross_entropy_forward(logits, target, **options)
    log_p = np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    weight = 1 if options["weight"] is None else options["weight"]
    losses = -(weight * target * log_p).sum(axis=1)
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[options["reduction"]]
    assert_close(loss, expected, 1e-10)


@given(problems())
def test_the_gradients_are_those_of_finite_differences(problem):
    logits, target, options, rng = problem
    caches = []

    def f(logits, target):
        y, cache = soft_cross_entropy_forward(logits, target, **options)
        caches.append(cache)
        return y

    def gradients(v):
        return dict(zip(("logits", "target"), soft_cross_entropy_backward(v, caches[0])))

    check_gradients(f, {"logits": logits, "target": target}, gradients, rng)


@given(seeds, st.sampled_from(["mean", "sum", "none"]))
def test_whole_classes_give_cross_entropy(seed, reduction):
    rng = np.random.default_rng(seed)
    logits, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    soft, _ = soft_cross_entropy_forward(logits, np.eye(4)[labels], reduction=reduction)
    assert_close(soft, cross_entropy_forward(logits, labels, reduction=reduction)[0], 1e-12)


def test_a_share_of_nothing_counts_nothing_even_where_p_is_nothing():
    logits = np.array([[0.0, -np.inf]])
    loss, _ = soft_cross_entropy_forward(logits, np.array([[1.0, 0.0]]))
    assert loss == 0


def test_mistakes_are_answered():
    with pytest.raises(ShapeError, match=r"one shape \(N, K\), got \(2, 3\) and \(2, 4\)"):
        soft_cross_entropy_forward(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ConfigError, match="soft_cross_entropy: unknown reduction"):
        soft_cross_entropy_forward(np.zeros((2, 3)), np.zeros((2, 3)), reduction="avg")
