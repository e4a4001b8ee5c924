"""Batches of a data set, in order or shuffled anew every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from minicnn.errors import ConfigError


class Dataset(Protocol):
    """All that a loader asks of a data set: its length, and a batch (x, y) for an array of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]: ...


class Loader:
    """Iterates over a data set in batches (x, y), once through for every `for`.

        for x, y in Loader(training, batch_size=64, shuffle=True, rng=np.random.default_rng(0)): ...

    The last batch is smaller when batch_size does not divide the length; drop_last=True leaves it out.
    shuffle=True draws a new order for every epoch from rng; the same seed gives the same orders on every
    machine, and without rng they differ from run to run. Every batch is a new array.

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
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ConfigError(f"batch_size must be a whole number from 1 up, got {batch_size!r}")
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ConfigError(f"rng must be a generator, got {rng!r}: use np.random.default_rng(seed)")
        if drop_last and 0 < len(dataset) < batch_size:
            raise ConfigError(
                f"drop_last=True leaves no batch: {len(dataset)} samples are fewer than batch_size={batch_size}"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rng = np.random.default_rng() if rng is None else rng

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        samples = len(self.dataset)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # The order is drawn here, not at the first batch: iterators begun in turn get orders in turn.
        samples = len(self.dataset)
        order = self.rng.permutation(samples) if self.shuffle else np.arange(samples)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return (self.dataset[order[start : start + self.batch_size]] for start in starts)
