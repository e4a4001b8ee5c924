"""Sums of an epoch, and batches that arrive; what needs a GPU is in benchmarks/gpu_check.py."""

from __future__ import annotations

import json
import math

import numpy as np

from minicnn.train.device import Sums, on_device


def test_sums_are_means_over_images_not_batches() -> None:
    sums = Sums()
    assert math.isnan(sums.mean_loss)
    assert sums.mean_accuracy is None
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    sums.add(np.float32(1.0), logits, np.array([0, 1, 1]))
    sums.add(np.float32(3.0), logits[:1], np.array([1]))
    assert sums.mean_loss == (3 * 1 + 1 * 3) / 4
    assert sums.mean_accuracy == 2 / 4


def test_labels_that_are_no_classes_have_no_accuracy() -> None:
    sums = Sums()
    sums.add(0.5, np.zeros((2, 3)), np.zeros((2, 3)))
    assert sums.mean_accuracy is None
    assert sums.mean_loss == 0.5


def test_small_losses_are_not_lost_in_a_long_epoch() -> None:
    sums = Sums()
    for _ in range(3000):
        sums.add(np.float32(0.1), np.zeros((64, 2), np.float32), np.zeros(64, int))
    np.testing.assert_allclose(sums.mean_loss, np.float32(0.1), rtol=1e-12)


def test_on_a_cpu_batches_pass_through_one_by_one() -> None:
    taken = []

    def source():
        for i in range(3):
            taken.append(i)
            yield np.full((2, 1), i), [0, 1]

    for i, (x, labels) in enumerate(on_device(source(), "cpu")):
        assert taken == list(range(i + 1)), "nothing is loaded ahead"
        assert (x == i).all()
        assert isinstance(labels, np.ndarray)


def test_sums_go_on_from_their_state() -> None:
    sums, others = Sums(), Sums()
    sums.add(np.float32(0.3), np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
    others.load_state_dict(json.loads(json.dumps(sums.state_dict())))
    for each in (sums, others):
        each.add(0.7, np.eye(3, dtype=np.float32), np.array([0, 1, 2]))
    assert others.state_dict() == sums.state_dict()
    assert others.mean_accuracy == 5 / 6
