"""Thousands of damaged files at every reader of data: each is read, or refused with a DataError. Nothing else.

Some dozens here and now, thousands with `make test-slow`. The readers of weights have their own in
tests/weights/test_damage.py.
"""

from __future__ import annotations

import gzip
import io
import pickle
import resource
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from PIL.Image import MAX_IMAGE_PIXELS

from minicnn.data.cifar import read_cifar, read_data_pickle
from minicnn.data.idx import read_idx
from minicnn.data.images import FORMATS, read_image
from minicnn.data.npz import read_npz
from minicnn.data.own import load_own
from minicnn.data.table import read_table
from minicnn.errors import DataError
from tests.weights.samples import mutated


class Reader(NamedTuple):
    """A whole file's content, the suffix of its name, and what reads it."""

    content: bytes
    suffix: str
    read: Callable[[Path], Any]


def idx() -> bytes:
    return bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 6]) + bytes(range(120))


def cifar_batch(n: int = 4) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    return {"labels": [1] * n, "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8)}


def cifar_archive() -> bytes:
    file = io.BytesIO()
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    with tarfile.open(
        fileobj=file, mode="w"
    ) as archive:  # not compressed: damage then reaches the tar itself
        for name in names:
            content = pickle.dumps(cifar_batch(1), 2)
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def npz(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 5, 5), dtype=np.uint8)
    save(file, images=images, labels=np.arange(12) % 2, class_names=np.array(["cat", "dög"]))
    return file.getvalue()


def image(kind: str, mode: str = "RGB") -> bytes:
    rows, columns = np.mgrid[0:24, 0:20]
    pixels = np.stack([9 * rows, 11 * columns, 5 * (rows + columns)], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def as_pixels(path: Path) -> None:
    pixels = read_image(path, (8, 8), 3)
    assert (pixels.shape, pixels.dtype) == ((3, 8, 8), np.uint8)


TABLE = 'file,label,split\nme.png,cat,train\n"b c.png",dog,\nü.png,"a ""cat""",test\n'.encode()
READERS = {
    "idx": Reader(idx(), "", read_idx),
    "idx.gz": Reader(gzip.compress(idx(), mtime=0), ".gz", read_idx),
    "cifar.tar": Reader(cifar_archive(), ".tar", read_cifar),
    "cifar.tar.gz": Reader(gzip.compress(cifar_archive(), mtime=0), ".tar.gz", read_cifar),
    **{
        f"cifar pickle, protocol {protocol}": Reader(
            pickle.dumps(cifar_batch(), protocol), "", lambda path: read_data_pickle(path.read_bytes(), "it")
        )
        for protocol in (0, 2, 4)
    },
    "npz": Reader(npz(np.savez), ".npz", read_npz),
    "compressed npz": Reader(npz(np.savez_compressed), ".npz", read_npz),
    "npz as a data set": Reader(npz(np.savez), ".npz", load_own),
    "table": Reader(TABLE, ".csv", read_table),
    **{f"{kind} image": Reader(image(kind), "", as_pixels) for kind in FORMATS},
    "palette PNG": Reader(image("PNG", "P"), "", as_pixels),
    "grey JPEG": Reader(image("JPEG", "L"), "", as_pixels),
    "CMYK JPEG": Reader(image("JPEG", "CMYK"), "", as_pixels),
}


def throw(reader: Reader, folder: Path, count: int, seed: int) -> tuple[int, int]:
    """(how many were read, how many refused) of `count` damaged files."""
    rng = np.random.default_rng(seed)
    path = folder / f"damaged{reader.suffix}"
    (folder / "me.png").write_bytes(image("PNG"))  # what the table names
    done = [0, 0]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        damaged = mutated(reader.content, rng)
        path.write_bytes(damaged)
        error = error_of(reader, path)
        # Where a table's rows are at fault, or a pickle is read by itself, it is the folder or "it" that is named.
        answered = isinstance(error, DataError) and (
            str(folder) in str(error) or str(error).startswith("it ")
        )
        if error is not None and not answered:
            (folder / "culprit").write_bytes(damaged)
            raise AssertionError(f"{error!r} came out; the file is {folder / 'culprit'}") from error
        done[error is not None] += 1
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    # A damaged header may name any size up to Pillow's limit, 90 million pixels of 4 bytes: the picture as it was
    # decoded, as RGB, and half shrunk. Two files' worth is a leak, or a limit that is not kept.
    assert grown < 3 * 4 * MAX_IMAGE_PIXELS, f"{grown:,} bytes"
    return done[0], done[1]


def error_of(reader: Reader, path: Path) -> Exception | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, of files cut short
            reader.read(path)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", READERS)
def test_the_whole_file_is_read(name: str, tmp_path: Path) -> None:
    """Else the others would be refused for another reason."""
    reader = READERS[name]
    path = tmp_path / f"whole{reader.suffix}"
    path.write_bytes(reader.content)
    if name == "table":
        for file in ("me.png", "b c.png", "ü.png"):
            (tmp_path / file).write_bytes(image("PNG"))
    reader.read(path)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    read, refused = throw(READERS[name], tmp_path, 60, seed=1)
    assert refused > 0
    assert read + refused == 60


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_thousands_of_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    read, refused = throw(READERS[name], tmp_path, 2000, seed=2)
    assert refused > 0
    assert read + refused == 2000
