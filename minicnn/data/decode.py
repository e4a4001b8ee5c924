"""Many image files as one array: decoded in parallel, once, and kept on disk for the next run.

The array is uint8 (N, C, H, W). Up to MEMORY_BUDGET bytes it is in memory; a larger one stays in the file of the
cache and is read from there as batches need it (memory-mapped, so the system keeps what it has room for).
The cache folder is kept under DISK_BUDGET bytes: what was used longest ago goes first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from minicnn.data import locate
from minicnn.data.bad_files import BadFile
from minicnn.data.images import read_image
from minicnn.errors import DataError

MEMORY_BUDGET = 1 << 30
DISK_BUDGET = 8 << 30
_VERSION = 1  # of what read_image makes of a file: raised when that changes


def decode_images(
    paths: Sequence[Path], size: tuple[int, int], channels: int, *, cache: bool = True
) -> tuple[np.ndarray, list[BadFile]]:
    """(images uint8 (N, C, H, W), bad): every file scaled to size (H, W), by as many threads as there are CPUs.

    A bad file's image is black and the file is listed in `bad`. cache: look in the cache folder first, and
    leave the result there; a file that has changed (size or time) makes all of them be read again. A cache folder
    that cannot be written or is full is no error.
    """
    shape = (len(paths), channels, *size)
    kept = _cache_file(paths, shape) if cache else None
    if kept is not None and (images := _from_cache(kept, shape)) is not None:
        return images, []
    images = _new_array(kept, shape)
    bad = _decode_into(images, paths)
    if bad or kept is None:
        return images, bad
    return _to_cache(images, kept), bad


def _decode_into(images: np.ndarray, paths: Sequence[Path]) -> list[BadFile]:
    channels, *size = images.shape[1:]

    def decode(number: int) -> BadFile | None:
        try:
            images[number] = read_image(paths[number], (size[0], size[1]), channels)
        except DataError as error:
            images[number] = 0
            return BadFile(paths[number], str(error))
        return None

    with ThreadPoolExecutor(available_cpus()) as pool:  # Pillow lets go of the GIL while it decodes
        return [answer for answer in pool.map(decode, range(len(paths)), chunksize=16) if answer is not None]


def available_cpus() -> int:
    """The CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- the cache


def decoded_dir() -> Path:
    """The folder of decoded images, such as ~/.cache/minicnn/datasets/decoded."""
    return locate.cache_dir() / "decoded"


def _cache_file(paths: Sequence[Path], shape: tuple[int, ...]) -> Path | None:
    """Where these files' images are kept: named by all that the result depends on."""
    digest = hashlib.sha256(f"{_VERSION} {shape}".encode())
    try:
        for path in paths:
            status = path.stat()
            digest.update(
                f"\n{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}".encode(
                    errors="surrogateescape"
                )
            )
    except OSError:
        return None
    return decoded_dir() / f"{digest.hexdigest()[:32]}.npy"


def _from_cache(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    large = int(np.prod(shape)) > MEMORY_BUDGET
    try:
        images = np.load(file, mmap_mode="r" if large else None, allow_pickle=False)
        if images.shape != shape or images.dtype != np.uint8:
            return None
        os.utime(file)  # used now
        return images
    except (OSError, ValueError, EOFError):
        return None


def _new_array(file: Path | None, shape: tuple[int, ...]) -> np.ndarray:
    """Memory for the images or, over the budget, a file in the cache folder."""
    size = int(np.prod(shape))
    if size <= MEMORY_BUDGET:
        return np.empty(shape, np.uint8)
    if file is None:
        raise DataError(
            f"{shape[0]:,} images of {shape[1]}x{shape[2]}x{shape[3]} take {size / 2**30:.1f} GiB, more than the "
            f"{MEMORY_BUDGET / 2**30:.1f} GiB of memory kept for them, and there is no cache for the rest"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _make_room(size)
        return np.lib.format.open_memmap(_part(file), mode="w+", dtype=np.uint8, shape=shape)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{size / 2**30:.1f} GiB of decoded images do not fit into {file.parent}: {error}; "
            "make room, or train on smaller images"
        ) from error


def _to_cache(images: np.ndarray, file: Path) -> np.ndarray:
    try:
        if isinstance(images, np.memmap):
            images.flush()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            _make_room(images.nbytes)
            with _part(file).open("wb") as handle:
                np.save(handle, images, allow_pickle=False)
        os.replace(_part(file), file)
    except OSError:  # read-only or full: the images are in memory all the same
        _part(file).unlink(missing_ok=True)
    return images


def _part(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}.part")


def _make_room(size: int) -> None:
    """Remove what was used longest ago until `size` more bytes stay within the budget."""
    files = [(path, path.stat()) for path in decoded_dir().glob("*.npy")]
    total = size + sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda pair: pair[1].st_mtime):
        if total <= DISK_BUDGET:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size
