"""On the way to a GPU a loader is a batch ahead of the training: a stop must not lose that batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpointing import BATCHES, InterruptAt, everything, fit, make


def a_batch_ahead(batches: Iterable[Any], device: str) -> Iterator[Any]:
    """Takes the next batch before it gives the present one, as train/device.py does for a GPU."""
    ahead = None
    for batch in batches:
        if ahead is not None:
            yield ahead
        ahead = batch
    if ahead is not None:
        yield ahead


@pytest.mark.parametrize("stop", range(1, 2 * BATCHES + 1))
@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_that_were_only_copied_ahead_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, in_memory: bool
) -> None:
    unbroken = fit(make(None))
    monkeypatch.setattr("minicnn.train.trainer.on_device", a_batch_ahead)
    stopped, loader = make(None if in_memory else tmp_path, InterruptAt(stop))
    fit((stopped, loader))
    assert stopped.step == stop
    going_on = fit((stopped, loader)) if in_memory else fit(make(tmp_path, seed=7), resume=tmp_path)
    assert everything(going_on) == everything(unbroken)
