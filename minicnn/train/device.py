"""What training on a GPU needs beside the loop: batches that arrive early, and sums that stay there.

The GPU works through what it was given while Python goes on. Every look at a number, float(loss),
waits until it has caught up. So the sums of a training epoch are kept on the GPU until someone reads
them, and the next batch is copied while the present one is computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minicnn.backend import Array, device_of, get_xp, to_device
from minicnn.losses import right_answers

Batch = tuple[Array, Array]
Count = Callable[[Array, Array], Any]
MOST_AHEAD = 4  # batches whose copies may be under way: then Python waits for the GPU


class Sums:
    """Loss and right answers of an epoch so far, on the device of the batches."""

    def __init__(self) -> None:
        self.images = 0
        self._loss: Any = 0.0
        self._right: Any = 0
        self._classes = True

    def add(
        self, loss: Array | float, logits: Array, labels: Array, count_right: Count = right_answers
    ) -> None:
        """One batch: its mean loss, its logits and labels, and who counts right answers. Nothing is waited for."""
        count = len(labels)
        self.images += count
        # In float64: a sum of a thousand losses in float32 has lost three digits.
        exact: Any = loss.astype(np.float64) if device_of(loss) == "cuda" else float(loss)  # type: ignore[union-attr]
        self._loss = self._loss + exact * count
        self._classes = self._classes and labels.dtype.kind in "iu" and labels.ndim == 1
        if self._classes:
            self._right = self._right + count_right(logits, labels)

    def state_dict(self) -> dict[str, Any]:
        """As plain numbers. Waits for the GPU."""
        return {
            "images": self.images,
            "loss": float(self._loss),
            "right": int(self._right),
            "classes": self._classes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.images, self._classes = state["images"], state["classes"]
        self._loss, self._right = state["loss"], state["right"]

    @property
    def mean_loss(self) -> float:
        """nan before the first batch. Waits for the GPU."""
        return float(self._loss) / self.images if self.images else float("nan")

    @property
    def mean_accuracy(self) -> float | None:
        """None before the first batch, and where labels are no classes. Waits for the GPU."""
        return int(self._right) / self.images if self._classes and self.images else None


def on_device(batches: Iterable[Batch], device: str) -> Iterator[Batch]:
    """The batches on the device. To a GPU each is copied while the one before it is computed."""
    if device == "cpu":
        for batch in batches:
            x, labels = batch
            if type(x) is not np.ndarray or type(labels) is not np.ndarray:
                batch = to_device(x, device), to_device(as_array(labels), device)
            yield batch
        return
    import cupy

    copies = cupy.cuda.Stream(non_blocking=True)
    ahead: tuple[Batch, Any] | None = None
    flying: deque[tuple[Any, Any]] = deque()  # (copied, memory of the host that it is copied from)
    for x, labels in batches:
        # The memory of an earlier batch is used again: not before the steps given so far have read it.
        copies.wait_event(cupy.cuda.get_current_stream().record())
        with copies:
            (x, x_source), (labels, labels_source) = _copy(x, copies), _copy(as_array(labels), copies)
            done = copies.record()
        flying.append((done, (x_source, labels_source)))
        while flying and (len(flying) > MOST_AHEAD or flying[0][0].done):
            flying.popleft()[0].synchronize()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = (x, labels), done
    if ahead is not None:
        yield _arrived(*ahead)


def as_array(labels: Any) -> Array:
    return labels if hasattr(labels, "dtype") else np.asarray(labels)


def _copy(array: Array, stream: Any) -> tuple[Array, Any]:
    """(the array on the GPU, what it is being copied from, to be kept until that is done).

    By way of memory that the system does not move: only from there are copies asynchronous.
    """
    if device_of(array) == "cuda":
        return array, None
    import cupy
    import cupyx

    pinned = cupyx.empty_pinned(array.shape, dtype=array.dtype)
    pinned[...] = array
    moved = cupy.empty(array.shape, dtype=array.dtype)
    moved.set(pinned, stream=stream)
    return moved, pinned


def _arrived(batch: Batch, done: Any) -> Batch:
    """The batch, once the stream that computes has been told to wait for its copy."""
    get_xp(*batch).cuda.get_current_stream().wait_event(done)
    return batch
