"""Batches of a data set, in order or shuffled anew every epoch, prepared ahead by threads if wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from minicnn.data import prefetch as ahead
from minicnn.data.dataset import ArrayDataset
from minicnn.data.generator_state import restore, snapshot
from minicnn.data.samplers import Sampler
from minicnn.data.transforms.base import Transform
from minicnn.errors import ConfigError, DataError

Batch = tuple[np.ndarray, Any]

_TOGETHER = 2 << 20  # bytes of input up to which several batches are prepared at a time


class Dataset(Protocol):
    """All that a loader asks of a data set: its length, and a batch (x, y) for an array of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]: ...


class Loader:
    """Iterates over a data set in batches (x, y), once through for every `for`.

        for x, y in Loader(training, batch_size=64, shuffle=True, rng=np.random.default_rng(0)): ...

    The last batch is smaller when batch_size does not divide the length; drop_last=True leaves it out.
    shuffle=True draws a new order for every epoch from rng; the same seed gives the same orders on every
    machine, and without rng they differ from run to run. No batch's memory is written again while you hold it;
    small batches may be views of one array.

    sampler: draws the epoch's samples instead (minicnn.data.samplers).
    transform: applied to every batch, to the raw images where the data set has them (`raw` and `prepare`, as
    ArrayDataset). Its draws depend on the epoch and the batch alone, so they are the same for any `workers`.
    workers, prefetch: so many threads prepare up to `prefetch` batches while training runs; 0: none ahead.
    rank, world_size: this loader gives every world_size-th sample of each epoch's order, beginning at rank; the
    order is filled up from its start so that all ranks get equally many (drop_last: cut off). Give all the
    same seed.

    state_dict() tells where the iteration stands, as plain numbers for JSON; after load_state_dict(state) the next
    `for` goes on with the batch that would have come next, and later epochs are those of an uninterrupted run.

    Raises ConfigError for a batch size below 1, a seed where a generator is meant, and when drop_last would
    leave no batch at all. An empty data set gives no batches.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 64,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        rng: np.random.Generator | None = None,
        sampler: Sampler | None = None,
        transform: Transform | None = None,
        workers: int = 0,
        prefetch: int = 2,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check_whole("batch_size", batch_size, 1)
        _check_whole("workers", workers, 0)
        _check_whole("prefetch", prefetch, 1)
        _check_whole("world_size", world_size, 1)
        _check_whole("rank", rank, 0)
        if rank >= world_size:
            raise ConfigError(f"rank counts from 0 to world_size - 1 = {world_size - 1}, got {rank}")
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ConfigError(f"rng must be a generator, got {rng!r}: use np.random.default_rng(seed)")
        if sampler is not None and shuffle:
            raise ConfigError("a sampler draws its own order: leave shuffle=True out")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rng = np.random.default_rng() if rng is None else rng
        self.sampler = sampler
        self.transform = transform
        self.workers = int(workers)
        self.prefetch = int(prefetch)
        self.rank, self.world_size = int(rank), int(world_size)
        if drop_last and 0 < self.num_samples < batch_size:
            raise ConfigError(
                f"drop_last=True leaves no batch: {self.num_samples} samples are fewer than batch_size={batch_size}"
            )
        # Where the iteration stands: the generator as it was before the epoch's draws (None between epochs), how
        # many of its batches were handed out, and how many to pass over in the next one.
        self._epoch_start: dict[str, Any] | None = None
        self._handed = 0
        self._pass_over = 0

    @property
    def num_samples(self) -> int:
        """How many samples an epoch of this rank goes through; with drop_last, some of them left out."""
        whole = len(self.dataset) if self.sampler is None else len(self.sampler)
        return whole // self.world_size if self.drop_last else -(-whole // self.world_size)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        samples = self.num_samples
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # The order is drawn here, not at the first batch: iterators begun in turn get orders in turn.
        start = snapshot(self.rng)
        order = self._draw_order()
        # With this key, the counter of a batch gives its own stream (Salmon et al. 2011, Philox).
        key = 0 if self.transform is None else int(self.rng.integers(1 << 63))
        first, self._pass_over = self._pass_over, 0
        self._epoch_start, self._handed = start, first
        return self._hand_out(start, order, key, first)

    def state_dict(self) -> dict[str, Any]:
        """The generator at the start of this epoch, and how many of its batches were handed out."""
        rng = snapshot(self.rng) if self._epoch_start is None else self._epoch_start
        return {"rng": rng, "batches": self._handed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken. Raises DataError when the state is not one of such a loader."""
        batches = state.get("batches") if isinstance(state, Mapping) else None
        if isinstance(batches, bool) or not isinstance(batches, int) or "rng" not in state:
            raise DataError(f"not the state of a Loader: expected rng and batches, got {state!r:.200}")
        if not 0 <= batches <= len(self):
            raise DataError(
                f"the state stands after {batches} batches, but an epoch of this loader has {len(self)}: "
                "give it the same data set, batch_size and ranks"
            )
        restore(self.rng, state["rng"])
        self._epoch_start = dict(state["rng"]) if batches else None
        self._handed = self._pass_over = batches

    def _draw_order(self) -> np.ndarray:
        if self.sampler is not None:
            order = np.asarray(self.sampler.draw(self.rng))
        else:
            samples = len(self.dataset)
            order = self.rng.permutation(samples) if self.shuffle else np.arange(samples)
        if self.world_size == 1:
            return order
        return np.resize(order, self.num_samples * self.world_size)[self.rank :: self.world_size]

    def _hand_out(self, start: dict[str, Any], order: np.ndarray, key: int, first: int) -> Iterator[Batch]:
        def prepare(number: int) -> Batch:
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            return self._prepare(rows, key, number)

        numbers = range(first, len(self))
        batches = (
            ahead.in_threads(prepare, numbers, self.workers, self.prefetch)
            if self.workers
            else self._prepare_here(prepare, order, numbers)
        )
        for number, batch in zip(numbers, batches):
            if self._epoch_start is start:  # no newer iterator has begun
                self._handed = number + 1
            yield batch
        if self._epoch_start is start:
            self._epoch_start, self._handed = None, 0

    def _prepare_here(
        self, prepare: Callable[[int], Batch], order: np.ndarray, numbers: range
    ) -> Iterator[Batch]:
        """The batches, when the loop asks for them; small ones of images in memory several at a time."""
        if self.transform is not None or type(self.dataset) is not ArrayDataset:
            yield from map(prepare, numbers)
            return
        # The calls on the way to 128 images of 28x28 pixels take as long as the 50 us of work on them: one
        # way for several batches, which are then views of one array.
        size = self.batch_size
        together = max(1, _TOGETHER // max(1, 4 * size * math.prod(self.dataset.input_shape)))
        for first in numbers[::together]:
            end = min(first + together, numbers.stop)
            x, y = self.dataset[order[first * size : end * size]]
            for start in range(0, len(y), size):
                yield x[start : start + size], y[start : start + size]

    def _prepare(self, rows: np.ndarray, key: int, number: int) -> Batch:
        if self.transform is None:
            return self.dataset[rows]
        rng = np.random.Generator(np.random.Philox(key=[key, number * self.world_size + self.rank]))
        if not hasattr(self.dataset, "raw"):
            images, labels = self.dataset[rows]
            return self.transform(images, labels, rng)
        images, labels = self.dataset.raw(rows)
        images, labels = self.transform(images, labels, rng)
        return self.dataset.prepare(images), labels  # type: ignore[attr-defined]


def _check_whole(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ConfigError(f"{name} must be a whole number from {low} up, got {value!r}")
