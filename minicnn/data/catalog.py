"""The data sets that minicnn knows by name."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.data import locate
from minicnn.data.dataset import ArrayDataset
from minicnn.data.idx import read_idx
from minicnn.data.preprocess import Preprocessing
from minicnn.data.sources import SOURCES, Source
from minicnn.errors import ConfigError, DataError, nearest

EMBEDDED_FILE = Path(__file__).with_name("fashion_mnist_mini.npz")


@dataclass(frozen=True, eq=False)
class DataBundle:
    """A data set ready for training: two parts, and how their images are prepared.

    Batches of `train` and `test` are float32 (N, C, H, W), normalised with the mean and standard deviation
    of the training images; `train.images` are the raw uint8 ones.
    """

    name: str
    train: ArrayDataset
    test: ArrayDataset
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    description: str
    licence: str


class DataSetInfo(NamedTuple):
    """One line of the catalogue. `found` is the file or folder it lies in, or None."""

    name: str
    description: str
    licence: str
    train_images: int
    test_images: int
    image_size: tuple[int, int]
    num_classes: int
    found: Path | None
    how_to_get: str


def load(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    input_shape: tuple[int, int, int] | None = None,
    preprocessing: Preprocessing | None = None,
) -> DataBundle:
    """The data set of that name: "fashion-mnist-mini" (comes with minicnn), "fashion-mnist" or "mnist".

    data_dir: a folder to look in first; the others are listed in minicnn/data/locate.py.
    input_shape (C, H, W): what the network takes, here (1, 28, 28) by default; for (3, 32, 32) the images
    are padded and their grey repeated.
    preprocessing: prepare the images by this, such as a run has stored, rather than by their own mean and
    standard deviation.

    Raises DataError when the name is unknown, when the files are nowhere (with all that is needed to get
    them; nothing else is taken in their place), and when they are not the published ones (by MD5).
    """
    if name not in SOURCES:
        raise DataError(f"unknown data set {name!r}: {nearest(name, SOURCES)}")
    if preprocessing is not None and input_shape not in (None, preprocessing.input_shape):
        raise ConfigError(
            f"input_shape={input_shape} contradicts the preprocessing, which makes {preprocessing.input_shape}: "
            "give one of the two"
        )
    source = SOURCES[name]
    train_images, train_labels, test_images, test_labels = _arrays(source, data_dir)
    if preprocessing is None:
        preprocessing = Preprocessing.from_training_images(train_images, input_shape=input_shape)
    return DataBundle(
        name=name,
        train=ArrayDataset(train_images, train_labels, source.class_names, preprocessing),
        test=ArrayDataset(test_images, test_labels, source.class_names, preprocessing),
        class_names=source.class_names,
        preprocessing=preprocessing,
        description=source.description,
        licence=source.licence,
    )


def available(data_dir: str | os.PathLike[str] | None = None) -> list[DataSetInfo]:
    """Every data set of the catalogue, and where it was found or how to get it."""
    return [
        DataSetInfo(
            name=source.name,
            description=source.description,
            licence=source.licence,
            train_images=source.train_images,
            test_images=source.test_images,
            image_size=source.image_size,
            num_classes=len(source.class_names),
            found=locate.find(source, data_dir) if source.files else EMBEDDED_FILE,
            how_to_get=locate.how_to_get(source) if source.files else "comes with minicnn",
        )
        for source in SOURCES.values()
    ]


def describe(data_dir: str | os.PathLike[str] | None = None) -> str:
    """The catalogue as text, a paragraph a data set."""
    paragraphs = []
    for info in available(data_dir):
        height, width = info.image_size
        where = f"found in {info.found}" if info.found else f"not here; {info.how_to_get}"
        paragraphs.append(
            f"{info.name}\n"
            f"  {info.description}\n"
            f"  {info.train_images:,} training and {info.test_images:,} test images, {height}x{width} grey, "
            f"{info.num_classes} classes; licence {info.licence}\n"
            f"  {where}"
        )
    return "\n\n".join(paragraphs)


def _arrays(source: Source, data_dir: str | os.PathLike[str] | None) -> list[np.ndarray]:
    """Training images and labels, test images and labels."""
    if not source.files:
        return _read_embedded(EMBEDDED_FILE)
    paths = locate.find_files(source, data_dir)
    return [read_idx(path, md5=file.md5) for path, file in zip(paths, source.files)]


def _read_embedded(path: Path) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[key] for key in ("train_images", "train_labels", "test_images", "test_labels")]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"the data file {path} is missing or damaged ({error}): install minicnn again"
        ) from error
