"""The records of the epochs."""

from __future__ import annotations

import math

from minicnn.train import EpochRecord, History

FIRST = EpochRecord(1, 0.1, 2.0, 0.25, None, None, 1.5, 200.0)
SECOND = EpochRecord(2, 0.05, 1.0, 0.5, 1.25, 0.75, 1.0, 300.0)


def test_a_column_is_one_figure_of_every_epoch() -> None:
    history = History([FIRST, SECOND])
    assert history.column("epoch") == [1, 2]
    assert history.column("train_loss") == [2.0, 1.0]
    assert history.column("lr") == [0.1, 0.05]


def test_a_missing_figure_is_nan() -> None:
    first, second = History([FIRST, SECOND]).column("validation_loss")
    assert math.isnan(first)
    assert second == 1.25


def test_a_record_becomes_a_plain_dict() -> None:
    assert SECOND.to_dict() == {
        "epoch": 2,
        "lr": 0.05,
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "validation_loss": 1.25,
        "validation_accuracy": 0.75,
        "seconds": 1.0,
        "images_per_second": 300.0,
    }


def test_a_history_is_a_list() -> None:
    history = History()
    assert not history
    assert history.column("train_loss") == []
    history.append(FIRST)
    assert history[-1] is FIRST
    assert len(history) == 1
