"""State dicts in NumPy's .npz: a zip archive with one .npy file for each array.

    bytes 0-7   \\x93NUMPY, version major and minor
    2 or 4      length of the header, little-endian
    header      {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
    the rest    the numbers

The header is a Python literal. It is matched against the one form that NumPy writes, not evaluated; arrays of
Python objects, which would need unpickling, are refused.

Source: numpy.lib.format, "A simple file format for NumPy arrays".
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.weights.elements import ELEMENTS, Element, check_shape
from minicnn.weights.zip_archive import ZipArchive, sealed

_MAX_HEADER = 10_000  # NumPy's own limit
_HEADER = re.compile(
    r"\{'descr': '(?P<order>[<>|=])(?P<kind>[biuf])(?P<size>[1248])', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,19}, ?)*(?:\d{1,19})?)\), ?\} *\n?"
)
_ELEMENTS = {  # by NumPy's code, such as "f4"
    element.stored.str[1:]: element for element in ELEMENTS.values() if element.name != "bfloat16"
}


class _Header(NamedTuple):
    length: int  # with what stands before it: where the numbers begin
    element: Element
    byte_order: Literal["<", ">"]
    shape: tuple[int, ...]
    order: Literal["C", "F"]


def to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of an .npz file, uncompressed and sealed with its checksum."""

    def npy(array: np.ndarray) -> bytes:
        content = io.BytesIO()
        np.lib.format.write_array(content, array, allow_pickle=False)
        return content.getvalue()

    return sealed((f"{name}.npy", npy(array)) for name, array in arrays.items())


def read_arrays(archive: ZipArchive) -> dict[str, np.ndarray]:
    """The arrays of a checked archive, in its order, by name. Raises WeightsError when one is damaged."""
    strangers = sorted(name for name in archive.members if not name.endswith(".npy"))
    if strangers:
        raise WeightsError(f"it holds {strangers[0]!r}, and an .npz file holds .npy files only")
    return {name.removesuffix(".npy"): _read(archive, name) for name in archive.members}


def _read(archive: ZipArchive, name: str) -> np.ndarray:
    header = _header(archive, name)
    element = header.element
    expected = header.length + element.bytes_of(header.shape)
    if archive.size_of(name) != expected:
        raise WeightsError(
            f"{name} of {element.name} {header.shape} takes {expected:,} bytes, it has {archive.size_of(name):,}"
        )
    dtype = element.stored.newbyteorder(header.byte_order)
    bits = np.frombuffer(archive.read(name), dtype, offset=header.length)
    # A copy: writable, aligned, in C order.
    return np.array(element.decode(bits).reshape(header.shape, order=header.order), order="C")


def _header(archive: ZipArchive, name: str) -> _Header:
    head = archive.head(name, 12 + _MAX_HEADER)
    if not head.startswith((b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"\x93NUMPY\3\0")):
        raise WeightsError(f"{name} is not an .npy file: it begins with {head[:8].hex(' ')}")
    start = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:start], "little")
    text = head[start : start + length].decode("latin1")
    match = _HEADER.fullmatch(text)
    if match is None or len(text) < length:
        raise WeightsError(
            f"{name} has the header {text[:100]!r}, expected that of an array of numbers or truth values "
            "(arrays of objects hold code and are never read)"
        )
    code = match["kind"] + match["size"]
    if code not in _ELEMENTS:
        raise WeightsError(f"{name} has numbers that minicnn does not read: {text[:40]!r}")
    shape = check_shape([int(size) for size in match["shape"].replace(",", " ").split()], name)
    byte_order: Literal["<", ">"] = ">" if match["order"] == ">" else "<"
    order: Literal["C", "F"] = "F" if match["fortran"] == "True" else "C"
    return _Header(start + length, _ELEMENTS[code], byte_order, shape, order)
