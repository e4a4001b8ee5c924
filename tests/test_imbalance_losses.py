"""The losses for classes of unequal size and for mixed labels, as objects."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.errors import CacheError, ConfigError, LabelError
from minicnn.losses import CrossEntropyLoss, FocalLoss, SoftCrossEntropyLoss

LABELS = np.array([0, 2, 1, 2])


@pytest.fixture
def logits(rng):
    return rng.standard_normal((4, 3)).astype(np.float32)


def gradient(loss, logits, labels):
    value = loss(logits, labels)
    assert value.dtype == np.float32
    return value, loss.backward()


def test_focal_loss_without_focus_is_cross_entropy(logits):
    weight = np.array([0.5, 1, 2], np.float32)
    for found, expected in zip(
        gradient(FocalLoss(0, weight), logits, LABELS), gradient(CrossEntropyLoss(weight), logits, LABELS)
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_shares_and_class_numbers_serve_alike(logits):
    loss = SoftCrossEntropyLoss()
    for labels in (LABELS, np.eye(3)[LABELS], np.eye(3, dtype=np.float32)[LABELS]):
        for found, expected in zip(
            gradient(loss, logits, labels), gradient(CrossEntropyLoss(), logits, LABELS)
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(LabelError, match="labels start at 0"):
        loss(logits, np.array([0, 1, 2, 3]))


@pytest.mark.parametrize("loss", [FocalLoss(), SoftCrossEntropyLoss()], ids=repr)
def test_backward_needs_a_forward(loss, logits):
    with pytest.raises(CacheError, match="needs a forward pass"):
        loss.backward()
    loss(logits, LABELS)
    loss.backward()
    with pytest.raises(CacheError, match="needs a forward pass"):
        loss.backward()


def test_mistakes_are_found_when_the_loss_is_made():
    with pytest.raises(ConfigError, match="FocalLoss: gamma must be 0 or more, got -1"):
        FocalLoss(-1)
    with pytest.raises(ConfigError, match="FocalLoss: unknown reduction"):
        FocalLoss(reduction="avg")
    with pytest.raises(ConfigError, match="SoftCrossEntropyLoss: unknown reduction"):
        SoftCrossEntropyLoss(reduction="avg")
