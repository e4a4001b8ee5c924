"""Sums of an epoch, and batches that arrive; what needs a GPU is in benchmarks/gpu_check.py."""

from __future__ import annotations

import json
import math
import sys
import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn.train.device import MOST_AHEAD, Sums, on_device


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


class FakeStreams:
    """CuPy's streams and events as a protocol of what was asked of them; a copy is done when someone waits for it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.sources: list[Any] = []  # weak references to the memory that was copied from

    def module(self) -> tuple[ModuleType, ModuleType]:
        streams = self

        class Event:
            def __init__(self, name: str) -> None:
                self.name, self.done = name, False

            def synchronize(self) -> None:
                self.done = True
                streams.log.append(f"host waits for {self.name}")

        class Stream:
            def __init__(self, name: str = "copies", non_blocking: bool = True) -> None:
                self.name, self.count = name, 0

            def __enter__(self) -> None:
                pass

            def __exit__(self, *_: object) -> None:
                pass

            def record(self) -> Event:
                self.count += 1
                return Event(f"{self.name} {self.count}")

            def wait_event(self, event: Event) -> None:
                streams.log.append(f"{self.name} wait for {event.name}")

        class array(np.ndarray):
            def set(self, source: np.ndarray, stream: Stream) -> None:
                self[...] = source

        def empty_pinned(shape: Any, dtype: Any) -> np.ndarray:
            source = np.empty(shape, dtype)
            streams.sources.append(weakref.ref(source))
            return source

        current = Stream("compute")
        cupy, cupyx = ModuleType("cupy"), ModuleType("cupyx")
        cupy.ndarray = array  # type: ignore[attr-defined]
        cupy.empty = lambda shape, dtype: np.empty(shape, dtype).view(array)  # type: ignore[attr-defined]
        cupy.cuda = SimpleNamespace(Stream=Stream, get_current_stream=lambda: current)  # type: ignore[attr-defined]
        cupyx.empty_pinned = empty_pinned  # type: ignore[attr-defined]
        return cupy, cupyx


def test_to_a_gpu_each_batch_is_copied_while_the_one_before_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = FakeStreams()
    for module in streams.module():
        monkeypatch.setitem(sys.modules, module.__name__, module)
    held = []  # how many batches' sources somebody still holds, whenever a batch arrives
    seen = 0
    for i, (x, labels) in enumerate(on_device(((np.full((2, 1), i), [0, i]) for i in range(8)), "cuda")):
        assert (x == i).all()
        assert labels.tolist() == [0, i]
        held.append(sum(source() is not None for source in streams.sources))
        streams.log.append(f"step {i}")
        seen += 1
    assert seen == 8
    # Copy k + 1 may begin when step k - 1 has ended, and step k when copy k has.
    assert streams.log[:7] == [
        "copies wait for compute 1",
        "copies wait for compute 2",
        "compute wait for copies 1",
        "step 0",
        "copies wait for compute 3",
        "compute wait for copies 2",
        "step 1",
    ]
    # No copy has ended by itself here: the memory they come from is held, and Python waits for the oldest.
    assert max(held) == 2 * MOST_AHEAD
    assert [line for line in streams.log if "host" in line][:2] == [
        "host waits for copies 1",
        "host waits for copies 2",
    ]
