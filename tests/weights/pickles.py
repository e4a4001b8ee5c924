"""Pickles and .pth files put together by hand, opcode by opcode, to say what no honest program would."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
PROTOCOL = b"\x80\x02"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def integer(value: int) -> bytes:
    content = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def integers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def storage(key: str = "0", size: int = 6, kind: str = "FloatStorage", legacy: bool = False) -> bytes:
    view = b"N" if legacy else b""
    return (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(key)
        + text("cpu")
        + integer(size)
        + view
        + b"tQ"
    )


def tensor(
    shape: tuple[int, ...] = (2, 3),
    stride: tuple[int, ...] = (3, 1),
    offset: int = 0,
    stored: bytes | None = None,
) -> bytes:
    """_rebuild_tensor_v2(storage, offset, shape, stride, False, OrderedDict())."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (storage() if stored is None else stored)
        + integer(offset)
        + integers(*shape)
        + integers(*stride)
        + b"\x89"
        + ORDERED_DICT
        + b"tR"
    )


def state(*items: tuple[str, bytes]) -> bytes:
    """A whole pickle: an OrderedDict of these names and pickled values."""
    return PROTOCOL + ORDERED_DICT + b"(" + b"".join(text(name) + value for name, value in items) + b"u."


def write_zip(path: Path, pickled: bytes, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """A .pth file with this data.pkl, storage 0 of six float32, and further members (`/` written as `__`)."""
    everything = {"data.pkl": pickled, "data/0": struct.pack("<6f", *range(6)), "version": b"3\n"}
    everything |= {name.replace("__", "/"): content for name, content in members.items()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in everything.items():
            archive.writestr(f"archive/{name}", data)
    path.write_bytes(content.getvalue())
    return path
