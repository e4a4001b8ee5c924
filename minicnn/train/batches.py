"""The forms in which data are given to the trainer, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from minicnn.backend import Array, to_numpy
from minicnn.data import ArrayDataset, Loader
from minicnn.errors import ConfigError

Batch = tuple[Array, Array]
Batches = Iterable[Batch] | ArrayDataset  # a Loader, a list of batches, or a data set as it stands
EVALUATION_BATCH = 256


def as_batches(source: Any) -> Iterator[tuple[Array, Array]]:
    if isinstance(source, ArrayDataset):
        yield from Loader(source, batch_size=EVALUATION_BATCH)
    elif hasattr(source, "shape"):
        for start in range(0, len(source), EVALUATION_BATCH):
            yield source[start : start + EVALUATION_BATCH], None
    else:
        yield from source


def check_source(who: str, source: Any) -> None:
    """Raise ConfigError for what a newcomer gives by mistake: bare arrays, or a data set with both its parts."""
    advice = None
    if isinstance(source, tuple) or hasattr(source, "shape"):
        advice = "images and labels become a data set by data.ArrayDataset(images, labels)"
    elif isinstance(getattr(source, "train", None), ArrayDataset):
        advice = "pick a part of it, .train or .test"
    elif not isinstance(source, (ArrayDataset, Iterable)):
        advice = "batches are pairs (x, labels)"
    if advice:
        raise ConfigError(
            f"{who} takes a Loader, a data set or a list of batches, got {type(source).__name__}: {advice}"
        )


def describe_bad(x: Array, labels: Array) -> str:
    """Which numbers of a batch are not finite; nothing when all are."""
    for what, array, rows in (("input holds", x, "images"), ("labels hold", labels, "samples")):
        finite = np.isfinite(to_numpy(array))
        bad = ~finite.all(axis=tuple(range(1, finite.ndim)))
        if bad.any():
            return (
                f"the {what} NaN or infinity: {int(bad.sum())} of {len(bad)} {rows}, "
                f"first number {int(bad.argmax())} in the batch"
            )
    return ""


def is_classes(labels: Array) -> bool:
    return labels.dtype.kind in "iu" and labels.ndim == 1


def count_images(batches: Any) -> int | None:
    """Images in one pass of a Loader; None for anything else."""
    if not isinstance(batches, Loader):
        return None
    full = len(batches) * batches.batch_size
    return full if batches.drop_last else batches.num_samples


def state_after(batches: Any, begun: Any, done: int) -> Any:
    """The state of a loader after `done` batches of an epoch; None for what has none.

    begun: its state when this pass over it began, if that is known. A Loader's own state may be a batch
    ahead: to a GPU, the next batch is copied while the present one is computed.
    """
    if isinstance(batches, Loader) and begun is not None and done:
        return {**begun, "batches": done}
    return batches.state_dict() if hasattr(batches, "state_dict") else None


def go_on(batches: Any, state: Any) -> None:
    """Let the next pass over a loader be the rest of the one that was interrupted in that state."""
    if hasattr(batches, "load_state_dict"):
        batches.load_state_dict(state)


def rest_of_epoch(batches: Any, done: int) -> Iterable[Batch]:
    """What is left of an epoch after `done` batches.

    A loader whose state was loaded begins there by itself; of a list the first ones are passed over.
    Raises ConfigError for anything else: it may have another order each time.
    """
    if hasattr(batches, "load_state_dict"):
        return batches
    if isinstance(batches, Sequence):
        return islice(batches, done, None)
    raise ConfigError(
        f"training stopped after {done} batches of an epoch, and {type(batches).__name__} cannot tell which are left: "
        "give fit a data.Loader, a data set or a list of batches"
    )
