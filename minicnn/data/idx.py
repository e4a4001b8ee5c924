"""IDX, the file format of MNIST: a typed array of any rank, raw or gzip-compressed.

    bytes 0-1   zero
    byte  2     element type, a key of DTYPES
    byte  3     number of dimensions D
    4 D bytes   the dimensions, big-endian unsigned 32-bit
    the rest    the elements, big-endian, last dimension fastest

Source: the description at the end of the MNIST page, LeCun, Cortes and Burges 1998.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minicnn.errors import DataError

DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # deflate cannot make a file smaller than 1/1032 of its content
_MAX_DIMENSIONS = 32  # what every NumPy can hold
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str], *, md5: str | None = None) -> np.ndarray:
    """The array in an IDX file, raw or gzip (told by its content, not by its name), in native byte order.

    md5: the hexadecimal MD5 that the decompressed file must have; None checks nothing.

    Raises DataError, naming the file, when it is missing, is no IDX file, is cut short, goes on after its
    last element, claims more elements than it can hold (found out before memory is taken), or has
    another MD5.
    """
    path = Path(path)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with open_maybe_gzip(path) as file:
            dtype, shape, header = _read_header(file, path)
            size = math.prod(shape) * dtype.itemsize
            _check_size(path, size, len(header), shape)
            digest.update(header)
            data = _read_body(file, path, size, digest, shape)
    except FileNotFoundError as error:
        raise DataError(f"IDX file {path} does not exist") from error
    except (OSError, EOFError, zlib.error, MemoryError) as error:  # BadGzipFile is an OSError
        raise DataError(f"IDX file {path} cannot be read: {error}; copy or download it again") from error
    if md5 is not None and digest.hexdigest() != md5:
        raise DataError(
            f"IDX file {path} is not the published one: the MD5 of its decompressed bytes is "
            f"{digest.hexdigest()}, expected {md5}; copy or download it again"
        )
    try:
        array = data.view(dtype).reshape(shape)
    except ValueError as error:  # no elements, but dimensions beyond what NumPy can count
        raise DataError(f"IDX file {path} claims impossible dimensions {_by(shape)}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def content_md5(path: str | os.PathLike[str]) -> str:
    """The MD5 of the decompressed bytes of a raw or gzip file. Raises OSError, EOFError or zlib.error."""
    digest = hashlib.md5(usedforsecurity=False)
    with open_maybe_gzip(Path(path)) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == _GZIP_MAGIC


def open_maybe_gzip(path: Path) -> BinaryIO:
    return gzip.open(path) if _is_gzip(path) else open(path, "rb")  # type: ignore[return-value]


def _read_header(file: BinaryIO, path: Path) -> tuple[np.dtype, tuple[int, ...], bytes]:
    magic = file.read(4)
    if len(magic) < 4:
        raise DataError(f"IDX file {path} is cut short: {len(magic)} bytes, the header alone has more than 4")
    if magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        types = ", ".join(f"{code:02x}" for code in DTYPES)
        raise DataError(
            f"{path} is not an IDX file: it begins with {magic.hex(' ')}, "
            f"expected 00 00, a type ({types}) and the number of dimensions"
        )
    rank = magic[3]
    if not 1 <= rank <= _MAX_DIMENSIONS:
        raise DataError(f"IDX file {path} claims {rank} dimensions, expected 1 to {_MAX_DIMENSIONS}")
    dims = file.read(4 * rank)
    if len(dims) < 4 * rank:
        raise DataError(
            f"IDX file {path} is cut short: {4 + len(dims)} bytes, "
            f"the header for {rank} dimensions has {4 + 4 * rank}"
        )
    shape = tuple(int.from_bytes(dims[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    return DTYPES[magic[2]], shape, magic + dims


def _check_size(path: Path, size: int, header: int, shape: tuple[int, ...]) -> None:
    """Refuses a size that the file on disk cannot hold, before any memory is taken for it."""
    on_disk = path.stat().st_size
    possible = on_disk * _DEFLATE_LIMIT if _is_gzip(path) else on_disk - header
    if size > possible:
        raise DataError(
            f"IDX file {path} is cut short, or its header is wrong: dimensions {_by(shape)} "
            f"take {size:,} bytes, and the file can hold {possible:,} at most"
        )


def _read_body(
    file: BinaryIO, path: Path, size: int, digest: hashlib._Hash, shape: tuple[int, ...]
) -> np.ndarray:
    data = np.empty(size, np.uint8)
    filled = 0
    while filled < size and (chunk := file.read(min(_CHUNK, size - filled))):
        data[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        digest.update(chunk)
        filled += len(chunk)
    if filled < size:
        raise DataError(
            f"IDX file {path} is cut short: dimensions {_by(shape)} take {size:,} bytes, found {filled:,}"
        )
    if file.read(1):
        raise DataError(
            f"IDX file {path} goes on after its last element: dimensions {_by(shape)} take {size:,} bytes"
        )
    return data


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
