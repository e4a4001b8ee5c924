"""Images and labels in one NumPy archive (.npz), under the names that people use.

    images, labels                                          one part
    train_images, train_labels, test_images, test_labels    two parts
    x_train, y_train, x_test, y_test                        as Keras keeps its data sets
    x, y                                                    one part

and class_names, if wanted. Images are uint8: (N, H, W), (N, C, H, W) or (N, H, W, C).
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from minicnn.data.preprocess import to_nchw
from minicnn.errors import DataError

_NAMES = (
    ("images", "labels", None, None),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("x", "y", None, None),
)
_DEFLATE_LIMIT = 1032  # deflate cannot make a file smaller than 1/1032 of its content


class NpzContent(NamedTuple):
    """images (N, C, H, W) uint8 and labels (N,); a second part, or None; class names, or None."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    class_names: tuple[str, ...] | None


def read_npz(path: str | os.PathLike[str]) -> NpzContent:
    """The images and labels of an .npz file.

    Raises DataError, naming the file, when it is missing, damaged, holds none of the names above, pickled
    objects, an array that is larger than the file can hold (found out before memory is taken), or images
    that are not uint8.
    """
    path = Path(path).expanduser()
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            names = next((names for names in _NAMES if names[0] in arrays and names[1] in arrays), None)
            if names is None:
                raise DataError(
                    f"{path} holds {', '.join(list(arrays)[:8]) or 'nothing'}: expected images and labels, or "
                    "train_images, train_labels, test_images and test_labels"
                )
            images, labels, test_images, test_labels = (
                _read(archive, arrays[name], path) if name in arrays else None for name in names
            )
            class_names = _read(archive, arrays["class_names"], path) if "class_names" in arrays else None
    except FileNotFoundError as error:
        raise DataError(f"the file {path} does not exist") from error
    except (OSError, EOFError, ValueError, KeyError, MemoryError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, error) from error
    except (zipfile.BadZipFile, zlib.error, SyntaxError, UnicodeError, TypeError, OverflowError) as error:
        raise _damaged(path, error) from error
    assert images is not None
    assert labels is not None
    return NpzContent(
        _images(images, path),
        labels.squeeze(),
        None if test_images is None else _images(test_images, path),
        None if test_labels is None else test_labels.squeeze(),
        None if class_names is None else tuple(str(name) for name in class_names.ravel()),
    )


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    return DataError(f"the file {path} cannot be read, it may be damaged or no .npz file: {error}")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One array, its size checked against what the file can hold before memory is taken for it."""
    with archive.open(entry) as file:
        shape, dtype = _header(file)  # type: ignore[arg-type]
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise DataError(
                f"{path} holds pickled objects ({entry.filename}), which are never read: save plain arrays"
            )
        if size > min(entry.file_size, entry.compress_size * _DEFLATE_LIMIT):
            raise DataError(
                f"{path} is damaged: {entry.filename} claims {size:,} bytes, and the file holds {entry.file_size:,}"
            )
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _images(images: np.ndarray, path: Path) -> np.ndarray:
    if images.dtype != np.uint8:
        raise DataError(
            f"{path} holds images of {images.dtype}: expected uint8, pixels from 0 to 255; images from 0 to 1 "
            "become that by (images * 255).round().astype(np.uint8)"
        )
    if images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))  # channels last, as Keras has it
    images = to_nchw(images)
    if images.shape[1] not in (1, 3):
        raise DataError(f"{path} holds images with {images.shape[1]} channels: expected 1 (grey) or 3 (RGB)")
    return images
