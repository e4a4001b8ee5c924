"""Images and labels in memory, handed out as network input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from minicnn.data.preprocess import Preprocessing, to_nchw
from minicnn.data.splits import held_out_mask
from minicnn.data.stored import Images, StoredImages
from minicnn.errors import ConfigError, DataError, DTypeError, LabelError, ShapeError


class ArrayDataset:
    """Images with their labels; `dataset[indices]` is a batch (x, y) that a network can take.

    images (N, H, W) or (N, C, H, W), one of
      - uint8, raw: every batch goes through `preprocessing`; without one pixels are divided by 255;
      - floating, ready for the network: batches are their float32 copies.
    labels (N,): class numbers, 0 and up.  class_names: one a class, or None.

    groups (N,): numbers that mark copies of one picture, which `split` keeps together; None: no such thing.

    The raw images stay as `.images`, always (N, C, H, W) and not copied, for plots: uint8 takes a quarter
    of float32's memory, and a batch of 64 is prepared in about 40 microseconds.

    Raises ShapeError, DTypeError, LabelError or DataError when images and labels cannot be what is meant:
    different lengths, NHWC, NaN or infinity, labels that are negative, not integers, or one-hot.
    """

    def __init__(
        self,
        images: Images,
        labels: np.ndarray,
        class_names: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        *,
        groups: np.ndarray | None = None,
    ) -> None:
        self.images: Images = _checked_images(images)
        self.class_names = None if class_names is None else tuple(class_names)
        self.labels = _checked_labels(labels, self.class_names)
        if len(self.images) != len(self.labels):
            raise ShapeError(
                f"{len(self.images)} images but {len(self.labels)} labels: give one label an image"
            )
        if groups is not None and len(groups) != len(self.labels):
            raise ShapeError(f"one group number a sample: {len(self.labels)} labels but {len(groups)} groups")
        self.groups = None if groups is None else np.asarray(groups)
        if preprocessing is None and self.images.dtype == np.uint8:
            preprocessing = Preprocessing(self.images.shape[2:], self.images.shape[1])
        if preprocessing is not None:
            preprocessing.check(self.images)
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """x float32 (n, C, H, W) and y int64 (n,) for an index array, a slice or a mask of n samples.

        One integer gives one sample: x (C, H, W) and y a number. The arrays are always new ones.
        """
        if isinstance(index, (int, np.integer)):
            x, y = self[[index]]
            return x[0], y[0]
        rows = self._rows(index)
        if self.preprocessing is None:
            return self.prepare(self.images[rows]), self.labels[rows]
        return self.preprocessing.pick(self.images, rows), self.labels[rows]

    def raw(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The samples at an index array as they are stored, for a transform to work on before `prepare`."""
        rows = self._rows(rows)
        return self.images[rows], self.labels[rows]

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Raw images (n, C, H, W) as network input, float32."""
        if self.preprocessing is None or images.dtype != np.uint8:
            return images.astype(np.float32, copy=False)
        return self.preprocessing(images)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network gets."""
        return self.images.shape[1:] if self.preprocessing is None else self.preprocessing.input_shape

    @property
    def num_classes(self) -> int:
        """The number of class names or, without names, the largest label + 1."""
        if self.class_names is not None:
            return len(self.class_names)
        return int(self.labels.max()) + 1 if len(self) else 0

    @property
    def class_counts(self) -> np.ndarray:
        """How many samples each class has, (num_classes,)."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def subset(self, indices: Any) -> Self:
        """A data set of its own, of the samples at an index array, a slice or a mask, in that order."""
        rows = self._rows(indices)
        stored = isinstance(self.images, StoredImages)
        images = self.images.subset(rows) if stored else self.images[rows]
        groups = None if self.groups is None else self.groups[rows]
        return type(self)(images, self.labels[rows], self.class_names, self.preprocessing, groups=groups)

    def split(self, size: int | float, rng: np.random.Generator | None = None) -> tuple[Self, Self]:
        """(rest, held_out): `size` samples held out, drawn by chance and with every class in proportion.

        size: a number of samples, or a fraction in [0, 1). Both parts keep the order of the samples.
        rng: the generator that draws; None draws anew every time.
        Where the data set has groups, samples of one group stay on one side (see minicnn/data/splits.py).
        """
        if self.groups is not None:
            rng = np.random.default_rng() if rng is None else rng
            mask = held_out_mask(self.labels, size, rng, self.groups)
            return self.subset(~mask), self.subset(mask)
        held_out = np.zeros(len(self), bool)
        rng = np.random.default_rng() if rng is None else rng
        for label, count in enumerate(_shares(self.class_counts, self._split_size(size))):
            members = np.flatnonzero(self.labels == label)
            held_out[rng.permutation(members)[:count]] = True
        return self.subset(~held_out), self.subset(held_out)

    def with_preprocessing(self, preprocessing: Preprocessing | None) -> Self:
        """The same images and labels (not copied), prepared in another way."""
        return type(self)(self.images, self.labels, self.class_names, preprocessing, groups=self.groups)

    def __repr__(self) -> str:
        channels, height, width = self.images.shape[1:]
        return (
            f"{type(self).__name__}({len(self):,} images {channels}x{height}x{width} {self.images.dtype}, "
            f"{self.num_classes} classes)"
        )

    def _rows(self, index: Any) -> np.ndarray:
        """Any index as an array of row numbers: fancy indexing then always copies."""
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)))
        rows = np.asarray(index)
        if rows.dtype == bool and rows.shape == (len(self),):
            return np.flatnonzero(rows)
        if rows.size == 0:
            return np.empty(0, np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ShapeError(
                "samples are picked by a one-dimensional array of integers, by a slice, or by a mask of length "
                f"{len(self)}; got an array of {rows.dtype} with shape {rows.shape}"
            )
        return rows

    def _split_size(self, size: int | float) -> int:
        count = round(size * len(self)) if isinstance(size, float) and 0 <= size < 1 else size
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 0 <= count < len(self):
            raise ConfigError(
                f"cannot hold out {size!r} of {len(self)} samples: "
                f"give a number from 0 to {max(len(self) - 1, 0)}, or a fraction from 0.0 up to 1.0"
            )
        return int(count)


def _shares(counts: np.ndarray, total: int) -> np.ndarray:
    """`total` divided among the classes in proportion to their counts, by the largest remainder.

    Exact integers: no share is larger than its count, and equal remainders go to the first class.
    """
    samples = max(int(counts.sum()), 1)
    shares, remainders = np.divmod(counts * total, samples)
    missing = total - int(shares.sum())
    shares[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return shares


def _checked_images(images: Images) -> Images:
    if isinstance(images, StoredImages):
        return images
    images = to_nchw(images)
    if images.dtype.kind == "f":
        finite = np.isfinite(images).all(axis=(1, 2, 3))
        if not finite.all():
            raise DataError(
                f"{np.count_nonzero(~finite)} image(s) hold NaN or infinity, the first is number "
                f"{int(np.argmin(finite))}: look at how it was made"
            )
    elif images.dtype != np.uint8:
        raise DTypeError(
            f"images must be uint8 (0 to 255) or floating (ready for the network), got {images.dtype}: "
            "for pixels from 0 to 255 use images.astype(np.uint8)"
        )
    return images


def _checked_labels(labels: np.ndarray, class_names: tuple[str, ...] | None) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1:
        one_hot = labels.ndim == 2 and labels.shape[1] > 1
        advice = (
            "one-hot labels become class numbers by labels.argmax(axis=1)"
            if one_hot
            else "use labels.ravel()"
        )
        raise LabelError(f"labels must be class numbers with shape (N,), got shape {labels.shape}: {advice}")
    if labels.dtype.kind in "USO":
        raise LabelError(
            f"labels must be class numbers, got {labels.dtype}: "
            "names become numbers by class_names, labels = np.unique(labels, return_inverse=True)"
        )
    if labels.dtype.kind not in "iu" and len(labels):
        raise LabelError(f"labels must be integers, got {labels.dtype}: use labels.astype(np.int64)")
    if len(labels) and labels.min() < 0:
        first = int(np.argmax(labels < 0))
        raise LabelError(f"labels must be 0 or more, got {labels[first]} at number {first}")
    if class_names is not None and len(labels) and labels.max() >= len(class_names):
        first = int(np.argmax(labels >= len(class_names)))
        raise LabelError(
            f"labels must be below {len(class_names)}, the number of class names, "
            f"got {labels[first]} at number {first}"
        )
    return labels.astype(np.int64)
