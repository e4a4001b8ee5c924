"""What a data set holds, in words: counts, sizes, and what to look at before training on it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.data.bad_files import BadFile, reason_with_path
from minicnn.data.catalog import load
from minicnn.data.decode import available_cpus
from minicnn.data.folder import find_images
from minicnn.data.image_files import ImageFiles
from minicnn.data.images import read_image
from minicnn.data.sources import SOURCES
from minicnn.data.splits import duplicate_groups
from minicnn.data.table import read_table
from minicnn.errors import DataError

THUMBNAIL = 64
FEW = 20  # images: a class with fewer is hard to learn, and its share of a test set says little
UNEQUAL = 3  # times as many images in the largest class as in the smallest: --balance is for that
_SHOWN = 10


def shortened(name: str, longest: int = 40) -> str:
    """A class name for a table of the terminal."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


@dataclass
class DataReport:
    """Counts, sizes and warnings of a data set; `str(report)` is the page that `minicnn data info` prints.

    thumbnails uint8 (n, C, H, W) and their labels: a few of every class, for a contact sheet.
    """

    name: str
    images: int
    class_names: tuple[str, ...]
    class_counts: dict[str, list[int]]  # part -> one number a class
    sizes: str
    kinds: str
    warnings: list[str] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    thumbnails: np.ndarray = field(default_factory=lambda: np.empty((0, 3, THUMBNAIL, THUMBNAIL), np.uint8))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __str__(self) -> str:
        names = [shortened(name) for name in self.class_names]
        width = max(len("class"), *map(len, names))
        parts = list(self.class_counts)
        lines = [
            f"{self.name}: {self.images:,} images of {len(self.class_names)} classes, {self.sizes}, {self.kinds}",
            "",
            f"{'class':<{width}}" + "".join(f"  {part:>10}" for part in parts),
        ]
        for number, name in enumerate(names):
            counts = "".join(f"  {self.class_counts[part][number]:>10,}" for part in parts)
            lines.append(f"{name:<{width}}{counts}")
        if self.warnings or self.bad:
            lines += ["", *(f"warning: {warning}" for warning in self.warnings)]
            lines += [f"  {reason_with_path(file)}" for file in self.bad[:_SHOWN]]
            if len(self.bad) > _SHOWN:
                lines.append(f"  and {len(self.bad) - _SHOWN} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the thumbnails."""
        return {
            "name": self.name,
            "images": self.images,
            "classes": list(self.class_names),
            "counts": self.class_counts,
            "sizes": self.sizes,
            "kinds": self.kinds,
            "warnings": self.warnings,
            "bad_files": [{"file": str(file.path), "reason": file.reason} for file in self.bad],
        }


def report(name: str, data_dir: str | os.PathLike[str] | None = None, *, per_class: int = 8) -> DataReport:
    """Look at a data set of the catalogue, a folder, a .csv table or an .npz file.

    Of a folder every file is read whole: a damaged or oversized one is found here and not in training.
    per_class: thumbnails of every class. Raises DataError when there is nothing to look at.
    """
    path = Path(name).expanduser()
    if name in SOURCES or path.suffix.lower() == ".npz":
        return _of_arrays(name, data_dir, per_class)
    if not path.exists():
        load(name, data_dir)  # says what is known
    return _of_files(find_images(path) if path.is_dir() else read_table(path), str(name), per_class)


class _Seen(NamedTuple):
    """One file as it was read."""

    size: tuple[int, int]  # width, height
    kind: str
    digest: bytes
    pixels: np.ndarray  # RGB, THUMBNAIL x THUMBNAIL


def _of_files(files: ImageFiles, name: str, per_class: int) -> DataReport:
    with ThreadPoolExecutor(available_cpus()) as pool:
        answers = list(pool.map(_look_at, files.paths))
    seen = [(number, answer) for number, answer in enumerate(answers) if isinstance(answer, _Seen)]
    bad = [*files.bad, *(answer for answer in answers if isinstance(answer, BadFile))]
    rows = np.array([number for number, _ in seen], np.int64)
    labels = files.labels[rows]
    counts = {
        part or "images": np.bincount(
            labels[files.parts[rows] == part], minlength=len(files.class_names)
        ).tolist()
        for part in dict.fromkeys(files.parts.tolist())
    }
    warnings = [*files.notes]
    if bad:
        warnings.append(
            f"{len(bad)} file(s) cannot be used (train with --on-bad-file skip to leave them out):"
        )
    groups = (
        np.unique([answer.digest for _, answer in seen], return_inverse=True)[1] if seen else np.empty(0, int)
    )
    warnings = [*_about_counts(counts, files.class_names), *_about_groups(groups, labels), *warnings]
    kept = _some_of_each(labels, per_class)
    blank = np.empty((0, 3, THUMBNAIL, THUMBNAIL), np.uint8)
    return DataReport(
        name=name,
        images=len(seen),
        class_names=files.class_names,
        class_counts=counts,
        sizes=_sizes([answer.size for _, answer in seen]),
        kinds=", ".join(
            f"{count:,} {kind}" for kind, count in Counter(a.kind for _, a in seen).most_common(5)
        ),
        warnings=warnings,
        bad=bad,
        thumbnails=np.stack([seen[row][1].pixels for row in kept]) if len(kept) else blank,
        labels=labels[kept],
    )


def _look_at(path: Path) -> _Seen | BadFile:
    from PIL import Image

    try:
        pixels = read_image(path, (THUMBNAIL, THUMBNAIL), 3)
        with Image.open(path) as file:
            kind, size = f"{file.format} {file.mode}", file.size
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except DataError as error:
        return BadFile(path, str(error))
    except OSError as error:
        return BadFile(path, f"image file {path} cannot be read: {error}")
    return _Seen(size, kind, digest, pixels)


def _of_arrays(name: str, data_dir: str | os.PathLike[str] | None, per_class: int) -> DataReport:
    bundle = load(name, data_dir)
    parts = {"train": bundle.train, "validation": bundle.validation, "test": bundle.test}
    there = {part: dataset for part, dataset in parts.items() if dataset is not None}
    counts = {part: dataset.class_counts.tolist() for part, dataset in there.items()}
    channels, height, width = bundle.train.images.shape[1:]
    images = np.concatenate([dataset.images for dataset in there.values()])
    labels = np.concatenate([dataset.labels for dataset in there.values()])
    kept = _some_of_each(bundle.train.labels, per_class)
    return DataReport(
        name=name,
        images=len(labels),
        class_names=bundle.class_names,
        class_counts=counts,
        sizes=f"{width}x{height} pixels",
        kinds="grey" if channels == 1 else "colour",
        warnings=[
            *_about_counts(counts, bundle.class_names),
            *_about_groups(duplicate_groups(images), labels),
        ],
        thumbnails=bundle.train.images[kept],
        labels=bundle.train.labels[kept],
    )


def _some_of_each(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Rows of the first few of every class."""
    rows = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
    return np.concatenate(rows) if rows else np.empty(0, np.int64)


def _sizes(sizes: list[tuple[int, int]]) -> str:
    if not sizes:
        return "no size"
    widths, heights = np.array(sizes).T
    if np.ptp(widths) == 0 == np.ptp(heights):
        return f"{widths[0]}x{heights[0]} pixels"
    return (
        f"from {widths.min()}x{heights.min()} to {widths.max()}x{heights.max()} pixels "
        f"(in the middle {int(np.median(widths))}x{int(np.median(heights))})"
    )


def _about_counts(counts: dict[str, list[int]], names: tuple[str, ...]) -> list[str]:
    """Near-empty classes, and classes of unequal size."""
    training = next((counts[part] for part in ("train", "images") if part in counts), None)
    if training is None:
        return []
    warnings = []
    few = [f"{shortened(name)} ({count})" for name, count in zip(names, training) if count < FEW]
    if few:
        more = f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
        warnings.append(f"few images of {', '.join(few[:_SHOWN])}{more}: {FEW} and more are better")
    if min(training) and max(training) >= UNEQUAL * min(training):
        warnings.append(
            f"classes of unequal size, from {min(training):,} to {max(training):,} images: try --balance weights"
        )
    return warnings


def _about_groups(groups: np.ndarray, labels: np.ndarray) -> list[str]:
    """Copies: by content, and under different classes."""
    if not len(groups):
        return []
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    copies = len(groups) - len(first)
    if not copies:
        return []
    disputed = int(np.count_nonzero(labels != labels[first][members]))
    text = f"{copies} image(s) are copies of others"
    return [text + (f", {disputed} of them under another class: look at them" if disputed else "")]
