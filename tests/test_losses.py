"""The loss objects: what they return, keep and refuse."""

from typing import NamedTuple

import numpy as np
import pytest

from minicnn.errors import CacheError, ConfigError, ShapeError
from minicnn.functional.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minicnn.layers.inference import inference
from minicnn.losses import CrossEntropyLoss, Loss, MSELoss, WithAuxiliary


@pytest.fixture
def logits(rng):
    return rng.standard_normal((4, 3)).astype(np.float32)


LABELS = np.array([0, 2, -100, 1])
OPTIONS = {"weight": np.array([1.0, 2.0, 3.0]), "ignore_index": 1, "reduction": "sum", "label_smoothing": 0.2}


def test_cross_entropy_is_the_functional_pair(logits):
    labels = np.array([0, 1, 2, 0])
    loss = CrossEntropyLoss(**OPTIONS)
    expected, cache = cross_entropy_forward(logits, labels, **OPTIONS)
    np.testing.assert_array_equal(loss.forward(logits, labels), expected)
    np.testing.assert_array_equal(loss.backward(), cross_entropy_backward(np.ones((), np.float32), cache))


def test_arguments_come_in_pytorchs_order(logits):
    assert repr(CrossEntropyLoss(None, 255, "sum", 0.1)) == (
        "CrossEntropyLoss(ignore_index=255, reduction='sum', label_smoothing=0.1)"
    )
    assert repr(MSELoss("sum")) == "MSELoss(reduction='sum')"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_is_a_0d_array_of_the_logits_dtype(logits, dtype):
    for loss, target in [(CrossEntropyLoss(), LABELS), (MSELoss(), np.ones((4, 3), dtype))]:
        value = loss(logits.astype(dtype), target)
        assert isinstance(value, np.ndarray)
        assert value.shape == ()
        assert value.dtype == loss.backward().dtype == dtype


def test_mse_gives_the_gradient_of_its_first_argument(logits):
    loss = MSELoss()
    assert float(loss(logits, np.zeros_like(logits))) == pytest.approx(float((logits**2).mean()))
    np.testing.assert_allclose(loss.backward(), logits / 6, rtol=1e-6)


def test_dloss_scales_the_gradient_and_none_means_ones(logits):
    loss = CrossEntropyLoss(reduction="none")
    value = loss(logits, LABELS)
    assert value.shape == (4,)
    ones = loss.backward()
    loss(logits, LABELS)
    upstream = np.array([1, 2, 3, 4], dtype=np.float32)
    np.testing.assert_allclose(loss.backward(upstream), upstream[:, None] * ones, rtol=1e-6)
    total = CrossEntropyLoss(reduction="sum")
    total(logits, LABELS)
    np.testing.assert_array_equal(total.backward(), ones)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_right_answers_are_those_of_argmax_counted_on_the_way_or_not(rng, dtype, smoothing):
    logits = rng.integers(-2, 3, (200, 7)).astype(dtype)  # many are equal: the first of them is the answer
    labels = rng.integers(0, 7, 200)
    expected = (logits.argmax(axis=1) == labels).sum()
    loss = CrossEntropyLoss(label_smoothing=smoothing)
    assert loss.right_answers(logits, labels) == expected
    loss(logits, labels)
    assert loss.right_answers(logits, labels) == expected
    loss.backward()
    assert loss.right_answers(logits, labels) == expected


def test_right_answers_of_other_arrays_than_the_last_forwards_are_counted_anew():
    logits = np.eye(64, dtype=np.float32)
    loss = CrossEntropyLoss()
    loss(logits, np.arange(64))
    assert loss.right_answers(logits, np.zeros(64, int)) == 1
    assert loss.right_answers(logits[::-1].copy(), np.arange(64)) == 0
    loss.forward(logits, np.where(np.arange(64) < 8, -100, np.arange(64)))
    assert loss.right_answers(logits, np.arange(64)) == 64


def test_nobody_can_write_into_the_one_that_a_backward_begins_with(logits):
    loss = CrossEntropyLoss()
    for _ in range(2):
        loss(logits, np.array([0, 1, 2, 0]))
        one, _ = loss.take(None)
        assert one == 1
        with pytest.raises(ValueError, match="read-only"):
            one += 1


@pytest.mark.parametrize("loss", [CrossEntropyLoss(), MSELoss()], ids=["cross entropy", "mse"])
def test_backward_needs_a_forward_of_its_own(loss, logits):
    target = LABELS if isinstance(loss, CrossEntropyLoss) else np.zeros_like(logits)
    message = (
        r"\(.*\)\.backward needs a forward pass, and there is none: call loss.forward\(logits, labels\) first"
    )
    with pytest.raises(CacheError, match=message):
        loss.backward()
    loss(logits, target)
    loss.backward()
    with pytest.raises(CacheError, match="once for every backward"):
        loss.backward()
    loss(logits, target)
    with inference():
        loss(logits, target)
    with pytest.raises(CacheError, match=r"not inside `with minicnn\.inference"):
        loss.backward()


def test_mistakes_are_found_when_the_loss_is_made():
    with pytest.raises(ConfigError, match="CrossEntropyLoss: unknown reduction 'avg'"):
        CrossEntropyLoss(reduction="avg")
    with pytest.raises(ConfigError, match="CrossEntropyLoss: label_smoothing must be from 0 to 1, got -1"):
        CrossEntropyLoss(label_smoothing=-1)
    with pytest.raises(ConfigError, match="MSELoss: unknown reduction 'avg'"):
        MSELoss("avg")


def test_a_loss_of_ones_own_says_what_it_must_define():
    class Mine(Loss):
        pass

    with pytest.raises(NotImplementedError, match="Mine must define forward"):
        Mine()(np.zeros(1), np.zeros(1))
    with pytest.raises(NotImplementedError, match="Mine must define backward"):
        Mine().backward()


# ---- auxiliary outputs


class Outputs(NamedTuple):
    logits: np.ndarray
    aux: np.ndarray


def test_auxiliary_outputs_count_with_their_weight(rng):
    labels = np.array([0, 2, 1])
    main, aux = (rng.standard_normal((3, 4)) for _ in range(2))
    loss, plain = (
        WithAuxiliary(CrossEntropyLoss(label_smoothing=0.1), 0.3),
        CrossEntropyLoss(label_smoothing=0.1),
    )
    value = loss(Outputs(main, aux), labels)
    assert isinstance(value, np.ndarray)
    assert value.shape == ()
    assert value == pytest.approx(float(plain(main, labels)) + 0.3 * float(plain(aux, labels)), rel=1e-14)
    gradient = loss.backward()
    assert isinstance(gradient, Outputs)
    plain(main, labels)
    np.testing.assert_array_equal(gradient.logits, plain.backward())
    plain(aux, labels)
    np.testing.assert_allclose(gradient.aux, 0.3 * plain.backward(), rtol=1e-14)
    assert gradient.aux.dtype == np.float64


def test_one_output_is_that_ones_loss(logits):
    """So the same loss evaluates a network that was trained with it."""
    labels = np.array([0, 1, 2, 0])
    loss, plain = WithAuxiliary(CrossEntropyLoss()), CrossEntropyLoss()
    assert float(loss(logits, labels)) == float(plain(logits, labels))
    np.testing.assert_array_equal(loss.backward(), plain.backward())
    value = loss((logits, logits), labels)
    assert value.dtype == np.float32
    assert isinstance(loss.backward(), tuple)


def test_with_auxiliary_keeps_the_contract_of_a_loss(logits):
    labels = np.array([0, 1, 2, 0])
    loss = WithAuxiliary(CrossEntropyLoss(reduction="sum"), 0.5)
    assert loss.reduction == "sum"
    with pytest.raises(CacheError):
        loss.backward()
    loss((logits, logits), labels)
    loss.backward()
    with pytest.raises(CacheError):
        loss.backward()
    with inference():
        loss((logits, logits), labels)
    with pytest.raises(CacheError):
        loss.backward()
    assert loss.loss._kept is None, "the loss that was given is used, not filled"


def test_what_is_no_loss_or_no_output_is_refused(logits):
    with pytest.raises(ConfigError, match="takes a loss object, such as"):
        WithAuxiliary(CrossEntropyLoss)
    with pytest.raises(ConfigError, match="weight must be a number"):
        WithAuxiliary(CrossEntropyLoss(), "0.3")
    with pytest.raises(ShapeError, match="empty tuple"):
        WithAuxiliary(CrossEntropyLoss())((), LABELS)
    with pytest.raises(ShapeError, match="takes one array of logits, got 2"):
        CrossEntropyLoss()((logits, logits), LABELS)
