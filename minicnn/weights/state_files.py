"""State dicts in and out of files, whatever their format: load and save for models, read and write for arrays.

The format of a file that is read is told by its content; a suffix decides how a file is written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from minicnn.backend import Array, to_numpy
from minicnn.errors import ConfigError, DTypeError, WeightsError
from minicnn.layers.base import Layer
from minicnn.layers.state import LoadReport
from minicnn.weights import npz_file, pth_file, pth_legacy, safetensors_file
from minicnn.weights.elements import ELEMENTS
from minicnn.weights.files import write_whole
from minicnn.weights.fit import load_arrays
from minicnn.weights.zip_archive import ZipArchive

SUFFIXES = {".safetensors": "safetensors", ".npz": "npz", ".pth": "PyTorch", ".pt": "PyTorch"}


class StateFile(NamedTuple):
    """What a weights file holds."""

    format: str  # "safetensors", "npz", "PyTorch" or "PyTorch (before 1.6)"
    arrays: dict[str, np.ndarray]


def load(
    model: Layer,
    path: str | PathLike[str],
    strict: bool = True,
    rename: Callable[[str], str] | None = None,
) -> LoadReport:
    """Read a weights file into the model, in place: safetensors, .npz, or PyTorch's .pth.

    strict: with True every name and shape must fit, or WeightsError lists what does not; with False what fits is
    loaded, the rest of the model stays as it was, and the report lists the rest. Nothing is written unless all that
    is to be written can be. rename: the model's name for a name of the file, for files that call things differently.

    Numbers take the model's dtype. DataParallel's "module." before each name, the "state_dict" of a checkpoint, and
    DenseNet's historical names are understood; see docs/weights.md.

    Raises WeightsError when the file is missing, damaged or does not fit. A pickle in it cannot run code.
    """
    return load_arrays(model, read(path), str(path), strict, rename)


def save(model: Layer, path: str | PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write the model's state dict to a .safetensors, .npz or .pth file, whole or not at all; see write."""
    write(model.state_dict(), path, metadata)


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a weights file by name, in the file's order (.safetensors: sorted by name).

    The element types are the file's; bfloat16, which NumPy lacks, becomes float32. Raises WeightsError when the file
    is missing, damaged, or not a state dict.
    """
    return read_state_file(path).arrays


def write(
    state: Mapping[str, Array], path: str | PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays by name to a file, whole or not at all, in the format of its suffix, with a checksum.

    metadata: a few strings to keep in the header of a .safetensors file.

    Raises ConfigError for an unknown suffix or a name that cannot be stored, DTypeError for an array that is not
    made of numbers, OSError when the file cannot be written.
    """
    path = Path(path)
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise ConfigError(f"cannot tell the format of {path.name!r}: end its name with {', '.join(SUFFIXES)}")
    if metadata and form != "safetensors":
        raise ConfigError(
            f"{path.name}: only .safetensors files keep metadata; leave it out or change the suffix"
        )
    arrays = {name: _storable(name, array, form) for name, array in state.items()}
    if form == "safetensors":
        content = safetensors_file.to_bytes(arrays, metadata or {})
    else:
        content = npz_file.to_bytes(arrays) if form == "npz" else pth_file.to_bytes(arrays)
    write_whole(path, content)


def read_state_file(path: str | PathLike[str]) -> StateFile:
    """As read, and the format that was found."""
    path = Path(path)
    form = f"a {SUFFIXES[path.suffix.lower()]}" if path.suffix.lower() in SUFFIXES else "a weights"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise WeightsError("it is a folder or a device, not a file")
        with path.open("rb") as file:
            return read_open(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError as error:
        raise WeightsError(f"no weights file {path}: check the path") from error
    except (OSError, WeightsError, MemoryError) as error:
        raise WeightsError(f"{path} is not {form} file, or it is damaged ({error})") from error


def read_open(file: BinaryIO, size: int) -> StateFile:
    """As read_state_file, from an open file of `size` bytes; errors do not name it."""
    start = file.read(32)
    file.seek(0)
    if start[8:9] == b"{":
        return StateFile("safetensors", safetensors_file.read_arrays(file, size))
    if start.startswith((b"PK\3\4", b"PK\5\6")):  # the second: an archive without members
        archive = ZipArchive(file, size)
        if any(name.rpartition("/")[2] == "data.pkl" for name in archive.members):
            return StateFile("PyTorch", pth_file.read_arrays(archive))
        return StateFile("npz", npz_file.read_arrays(archive))
    if start.startswith(b"\x80") and pth_legacy.MAGIC_BYTES in start:
        return StateFile("PyTorch (before 1.6)", pth_legacy.read_arrays(file, size))
    raise WeightsError(_unknown(start, size))


def _unknown(start: bytes, size: int) -> str:
    if size == 0:
        return "it is empty"
    if start.startswith(b"\x80"):
        return "it is a pickle that torch.save did not write; pickles can run code and are never opened"
    if start.startswith(
        (b"sys_info", b"storages", b"tensors", b"pickle\0")
    ):  # the first name in a tar archive
        return "it is a tar archive, as PyTorch wrote before 0.1.10: load and save it again with PyTorch"
    if start.startswith(b"\x89HDF"):
        return "it is an HDF5 file, as Keras writes: save its arrays with numpy.savez"
    if start.startswith(b"\x93NUMPY"):
        return "it is one array (.npy): save arrays by name with numpy.savez"
    return f"it begins with {start[:8].hex(' ')}: expected safetensors, .npz or PyTorch's .pth"


def _storable(name: object, array: Array, form: str) -> np.ndarray:
    if not isinstance(name, str) or not name or "\0" in name or not name.isprintable():
        raise ConfigError(
            f"{name!r} cannot be the name of an array in a file: expected a text of printable characters"
        )
    plain = to_numpy(array)
    if plain.dtype.name not in ELEMENTS or (form == "PyTorch" and plain.dtype.name not in pth_file.CLASSES):
        raise DTypeError(
            f"{name} is of {plain.dtype}, which a {form} file cannot hold: convert it first, say with astype"
        )
    return np.asarray(plain, dtype=plain.dtype.newbyteorder("="), order="C")
