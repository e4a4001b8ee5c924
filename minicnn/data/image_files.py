"""Image files with their classes, as a folder or a table gives them; nothing is decoded yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicnn.data.bad_files import BadFile
from minicnn.errors import DataError

# What people call the parts of a data set, and what they are here.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files and their classes.

    source: the folder or the table that names them; root: the folder that they are looked for from.
    labels (N,): class numbers.  parts (N,): "train", "validation" or "test", or "" where the source does not
    say.  notes: what was left out, and what looks odd, in sentences.  bad: files and folders that cannot be read.
    """

    source: Path
    root: Path
    paths: tuple[Path, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    parts: np.ndarray
    notes: tuple[str, ...] = ()
    bad: tuple[BadFile, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def class_counts(self) -> np.ndarray:
        return np.bincount(self.labels, minlength=len(self.class_names))


def image_files(
    source: Path, found: Sequence[tuple[str, str, Path]], notes: Sequence[str], bad: Sequence[BadFile]
) -> ImageFiles:
    """From (part, class, file) of every image; classes are numbered in the order of their names.

    source: the folder or the table that names them. Raises DataError when all are of one class.
    """
    names = sorted({name for _, name, _ in found})
    if len(names) < 2:
        what = "each in a folder of its own" if source.is_dir() else "in its column of labels"
        raise DataError(
            f"{source} has images of one class only, {names[0]!r}: a classifier needs at least two, {what}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    return ImageFiles(
        source=source,
        root=source if source.is_dir() else source.parent,
        paths=tuple(path for _, _, path in found),
        labels=np.array([numbers[name] for _, name, _ in found], np.int64),
        class_names=tuple(names),
        parts=np.array([part for part, _, _ in found], dtype="U10"),
        notes=tuple(notes),
        bad=tuple(bad),
    )
