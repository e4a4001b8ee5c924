"""The data sets that minicnn knows by name."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn.data import locate
from minicnn.data.bad_files import check_policy
from minicnn.data.bundle import DataBundle
from minicnn.data.cifar import read_cifar
from minicnn.data.dataset import ArrayDataset
from minicnn.data.idx import read_idx
from minicnn.data.preprocess import InputShape, Preprocessing
from minicnn.data.sources import SOURCES, Source
from minicnn.errors import ConfigError, DataError, nearest

EMBEDDED_FILE = Path(__file__).with_name("fashion_mnist_mini.npz")


class DataSetInfo(NamedTuple):
    """One line of the catalogue. `found` is the file or folder it lies in, or None."""

    name: str
    description: str
    licence: str
    train_images: int
    test_images: int
    image_size: tuple[int, int]
    channels: int
    num_classes: int
    found: Path | None
    how_to_get: str


def load(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    input_shape: InputShape | None = None,
    preprocessing: Preprocessing | None = None,
    on_bad_file: str = "error",
) -> DataBundle:
    """The data set of that name: "fashion-mnist-mini" (comes with minicnn), "fashion-mnist", "mnist" ...

    Or one of your own: the path of a folder of images, a .csv table or an .npz file, see `load_own`; a folder that
    bears a known name is written with its path, as ./mnist. on_bad_file is for these.

    data_dir: a folder to look in first; the others are listed in minicnn/data/locate.py.
    input_shape (C, H, W): what the network takes, here (1, 28, 28) by default; for (3, 32, 32) the images
    are padded and their grey repeated. C = None takes what the images have.
    preprocessing: prepare the images by this, such as a run has stored, rather than by their own mean and
    standard deviation.

    Raises DataError when the name is unknown, when the files are nowhere (with all that is needed to get
    them; nothing else is taken in their place), and when they are not the published ones (by MD5).
    """
    known = (None, preprocessing.input_shape) if preprocessing is not None else ()
    if preprocessing is not None and input_shape not in known:
        raise ConfigError(
            f"input_shape={input_shape} contradicts the preprocessing, which makes {preprocessing.input_shape}: "
            "give one of the two"
        )
    if name not in SOURCES:
        if not os.path.exists(os.path.expanduser(name)):
            raise DataError(
                f"unknown data set {name!r}: {nearest(name, SOURCES)}; and there is no such folder or file"
            )
        from minicnn.data.own import load_own

        return load_own(name, input_shape=input_shape, preprocessing=preprocessing, on_bad_file=on_bad_file)
    check_policy(on_bad_file)
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
            channels=source.channels,
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
            f"  {info.train_images:,} training and {info.test_images:,} test images, {height}x{width} {'grey' if info.channels == 1 else 'colour'}, "
            f"{info.num_classes} classes; licence {info.licence}\n"
            f"  {where}"
        )
    return "\n\n".join(paragraphs)


def _arrays(source: Source, data_dir: str | os.PathLike[str] | None) -> list[np.ndarray]:
    """Training images and labels, test images and labels."""
    if not source.files:
        return _read_embedded(EMBEDDED_FILE)
    paths = locate.find_files(source, data_dir)
    if source.format == "cifar":
        return list(read_cifar(paths[0], md5=source.files[0].md5))
    return [read_idx(path, md5=file.md5) for path, file in zip(paths, source.files)]


def _read_embedded(path: Path) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[key] for key in ("train_images", "train_labels", "test_images", "test_labels")]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"the data file {path} is missing or damaged ({error}): install minicnn again"
        ) from error
