"""CIFAR-10 and CIFAR-100: the published archives of Python pickles, read without unpickling.

A pickle is a program, and Python's own reader runs it. The published ones only build dictionaries, lists, strings,
numbers and one NumPy array of bytes, so here a reader that knows nothing but these steps through their
operations (pickletools.genops, which runs nothing): anything else is refused by name.

Source of the layout: Krizhevsky 2009, Learning multiple layers of features from tiny images.
"""

from __future__ import annotations

import hashlib
import os
import pickletools
import tarfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import DataError

MEMBER_LIMIT = 256 << 20  # bytes; the largest published one has 155 million
PIXELS = (3, 32, 32)

_TRAIN_10 = tuple(f"data_batch_{number}" for number in range(1, 6))


class CifarContent(NamedTuple):
    """images uint8 (N, 3, 32, 32) and labels int64 (N,) of both parts."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read_cifar(path: str | os.PathLike[str], *, md5: str | None = None) -> CifarContent:
    """The images and (fine) labels of cifar-10-python.tar.gz or cifar-100-python.tar.gz.

    md5: what the archive must have. Nothing is extracted to disk. Raises DataError, naming the file, when it is
    missing, damaged, not the published one, has members that lead outside (../), or holds anything but data.
    """
    path = Path(path)
    try:
        if md5 is not None and (found := file_md5(path)) != md5:
            raise DataError(
                f"{path} is not the published archive: its MD5 is {found}, expected {md5}; fetch it again"
            )
        with tarfile.open(path, "r:*") as archive:
            members = _members(archive, path)
            parts = (_TRAIN_10, ("test_batch",)) if "data_batch_1" in members else (("train",), ("test",))
            arrays = [array for names in parts for array in _read_part(archive, members, names, path)]
    except FileNotFoundError as error:
        raise DataError(f"the archive {path} does not exist") from error
    except (OSError, EOFError, tarfile.TarError, zlib.error, MemoryError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the archive {path} cannot be read, it may be damaged or cut short: {error}"
        ) from error
    return CifarContent(*arrays)


def file_md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _members(archive: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    """Files by their last name."""
    members = {}
    for member in archive:
        if member.name.startswith(("/", "\\")) or ".." in member.name.replace("\\", "/").split("/"):
            raise DataError(
                f"{path} has a member that leads outside, {member.name!r}: not the published archive"
            )
        if member.isfile():
            members[member.name.rpartition("/")[2]] = member
    return members


def _read_part(
    archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], names: tuple[str, ...], path: Path
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for name in names:
        if name not in members:
            raise DataError(f"{path} lacks {name}: it is no CIFAR archive of the Python version")
        if members[name].size > MEMBER_LIMIT:
            raise DataError(f"{path}: {name} claims {members[name].size:,} bytes, more than CIFAR has")
        file = archive.extractfile(members[name])
        assert file is not None
        content = read_data_pickle(file.read(), f"{name} in {path}")
        found = content if isinstance(content, dict) else {}
        pixels, numbers = found.get("data"), found.get("fine_labels", found.get("labels"))
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != int(np.prod(PIXELS)):
            raise DataError(f"{name} in {path} holds no images of 3 x 32 x 32 bytes")
        if (
            not isinstance(numbers, list)
            or len(numbers) != len(pixels)
            or not all(_is_label(n) for n in numbers)
        ):
            raise DataError(f"{name} in {path} does not hold one label from 0 to 99 for each of its images")
        images.append(pixels.reshape(-1, *PIXELS))
        labels.append(np.array(numbers, np.int64))
    return np.concatenate(images), np.concatenate(labels)


def _is_label(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 100


# ---- a reader of pickles that hold data alone

_NUMBERS = ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT", "FLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINBYTES", "SHORT_BINBYTES")
_OLD_TEXTS = ("BINSTRING", "SHORT_BINSTRING", "STRING")  # Python 2's, bytes in truth: given as Latin-1 text
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_IGNORED = ("PROTO", "FRAME")
# The functions that a pickled NumPy array calls, of any NumPy version.
_RECONSTRUCT = {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
_MARK = object()


class _Array:
    """A NumPy array in the making: made empty, then given its state."""

    value: np.ndarray | None = None


class _Type:
    """A NumPy type, of which only bytes are known."""


def read_data_pickle(content: bytes, what: str) -> Any:
    """The object of a pickle that is made of containers, strings, numbers and arrays of bytes (uint8) alone.

    Raises DataError for any other operation or name, and for a damaged pickle.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return _finished(stack.pop())
            _step(operation.name, argument, stack, memo)
    except DataError as error:
        raise DataError(f"{what} {error}") from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise DataError(f"{what} is a damaged pickle: {error}") from error
    raise DataError(f"{what} is a damaged pickle: it has no end")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in _IGNORED:
        return
    if name in _NUMBERS or name in _TEXTS or name in _OLD_TEXTS:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name in ("TUPLE", "LIST", "DICT"):
        items = _to_mark(stack)
        stack.append(
            dict(zip(items[::2], items[1::2]))
            if name == "DICT"
            else (tuple if name == "TUPLE" else list)(items)
        )
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        items = [stack.pop() for _ in range(count)]
        stack.append(tuple(reversed(items)))
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _to_mark(stack)
        _list(stack[-1]).extend(_finished(item) for item in items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _to_mark(stack) if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
        _dict(stack[-1]).update((_key(k), _finished(v)) for k, v in zip(items[::2], items[1::2]))
    elif name == "GLOBAL":
        stack.append(_global(argument))
    elif name == "STACK_GLOBAL":
        second, first = stack.pop(), stack.pop()
        stack.append(_global(f"{first} {second}"))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        if function not in (_Array, _Type, _encode):
            raise DataError("calls what is no array: it is not read")
        stack.append(_encode(*arguments) if function is _encode else function())
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], _Array):
            stack[-1].value = _bytes_array(state)
    else:
        raise DataError(f"does more than hold data (operation {name}): it is not read")


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the protocols of Python 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise DataError("calls what is no array: it is not read")
    return text.encode("latin-1")


def _global(name: str) -> Any:
    if name in _RECONSTRUCT:
        return _Array
    if name == "numpy dtype":
        return _Type
    if name == "_codecs encode":
        return _encode
    if name == "numpy ndarray":  # an argument of _reconstruct's
        return None
    raise DataError(f"names {name.replace(' ', '.')!r}, which is no data: it is not read")


def _bytes_array(state: Any) -> np.ndarray:
    """(version, shape, type, column order, bytes), as NumPy pickles an array."""
    _, shape, kind, fortran, content = state
    if not isinstance(kind, _Type) or fortran:
        raise DataError("holds an array of another layout than CIFAR's: it is not read")
    raw = content.encode("latin-1") if isinstance(content, str) else bytes(content)
    return np.frombuffer(raw, np.uint8).reshape([int(side) for side in shape]).copy()


def _finished(value: Any) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise DataError("is a damaged pickle: an array without content")
        return value.value
    if isinstance(value, _Type) or any(value is name for name in (_Array, _Type, _encode)):
        raise DataError("holds what is no data: it is not read")
    return value


def _to_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DataError("is a damaged pickle: items for what is no list")
    return value


def _dict(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise DataError("is a damaged pickle: keys for what is no dictionary")
    return value


def _key(value: Any) -> Any:
    if not isinstance(value, (str, int, bytes)):
        raise DataError("is a damaged pickle: a key that is no name")
    return value.decode("latin-1") if isinstance(value, bytes) else value
