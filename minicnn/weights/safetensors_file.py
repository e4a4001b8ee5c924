"""State dicts in safetensors files: names, dtypes, shapes and raw numbers, and no code.

    bytes 0-7   length L of the header, little-endian unsigned 64-bit
    L bytes     JSON: {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
    the rest    the numbers, little-endian, C order, without gaps

The safetensors library lays out what is written. Reading is done here: every field is checked against the length of the file
before anything large is read, the checksum is taken while each array is read straight into its own
memory, and after that nothing is left for the library to do.

minicnn's own files carry two entries in the header's "__metadata__": `minicnn.format` and `minicnn.sha256`,
the SHA-256 of the whole file with the 64 digits of the checksum itself counted as zeros.

Source: the safetensors format, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, WeightsError
from minicnn.weights.elements import ELEMENTS, Element, check_shape, read_bits

_CODES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip
_MAX_HEADER = 100_000_000  # the safetensors library's own limit
_OWN = "minicnn."
_FORMAT, _SHA256 = _OWN + "format", _OWN + "sha256"
_NO_DIGEST = "0" * 64


class _Entry(NamedTuple):
    element: Element
    shape: tuple[int, ...]
    begin: int
    end: int


def to_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file, with its checksum. metadata: strings to keep in the header."""
    from safetensors.numpy import save

    if "__metadata__" in arrays:
        raise ConfigError('no array of a safetensors file can be called "__metadata__": rename it')
    if reserved := [key for key in metadata if key.startswith(_OWN)]:
        raise ConfigError(f"metadata keys that begin with {_OWN!r} are minicnn's own: rename {reserved}")
    if _NO_DIGEST in "".join([*arrays, *metadata, *metadata.values()]):
        raise ConfigError("64 zeros in a name or in the metadata: that is where the checksum goes")
    content = _with_metadata(save(dict(arrays)), {**metadata, _FORMAT: "1", _SHA256: _NO_DIGEST})
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(_NO_DIGEST.encode(), digest.encode(), 1)  # in the header, which comes first


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """The library would put the metadata in another order every time: the same weights, another file."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = {"__metadata__": metadata, **json.loads(content[8:end])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the data are aligned, as the library does
    return len(text).to_bytes(8, "little") + text + content[end:]


def read_arrays(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """The arrays of an open safetensors file of `size` bytes, sorted by name.

    Raises WeightsError when anything in it contradicts itself, the file's length or its checksum.
    """
    raw, header = _read_header(file, size)
    metadata = _checked_metadata(header.pop("__metadata__", {}))
    data = size - 8 - len(raw)
    entries = {name: _checked_entry(name, entry, data) for name, entry in header.items()}
    in_order = sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end))
    _check_tiling(in_order, data)

    checksum = hashlib.sha256(len(raw).to_bytes(8, "little"))
    expected = _expected_digest(metadata)
    checksum.update(raw.replace(expected.encode(), _NO_DIGEST.encode(), 1) if expected else raw)
    arrays = {}
    for name, entry in in_order:
        bits = read_bits(file, entry.element, entry.shape)
        if expected:
            checksum.update(bits.reshape(-1).view(np.uint8).data)
        arrays[name] = entry.element.decode(bits)
    if expected and checksum.hexdigest() != expected:
        raise WeightsError(
            f"its SHA-256 is {checksum.hexdigest()}, and its header says {expected}: it has changed since it was written"
        )
    return dict(sorted(arrays.items()))


def _read_header(file: BinaryIO, size: int) -> tuple[bytes, dict[str, Any]]:
    if size < 10:
        raise WeightsError(f"it is cut short: {size} bytes, and the shortest has 10")
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _MAX_HEADER):
        raise WeightsError(
            f"its header claims {length:,} bytes, the file holds {size:,}: it is cut short or its length is damaged"
        )
    raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:  # also bad UTF-8, and numbers of thousands of digits
        raise WeightsError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise WeightsError("its header is not a JSON object of names")
    return raw, header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known = dict(pairs)
    if len(known) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WeightsError(f"its header names {twice!r} twice")
    return known


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise WeightsError("the __metadata__ of its header are not strings by name")
    return metadata


def _expected_digest(metadata: Mapping[str, str]) -> str | None:
    """The checksum of a file of minicnn's own; None for another program's."""
    own = [key for key in metadata if key.startswith(_OWN)]
    if not own:
        return None
    # Two marks, so that damage to one of them cannot turn the file into a foreign one without checksum.
    digest = metadata.get(_SHA256, "")
    if sorted(own) != [_FORMAT, _SHA256] or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise WeightsError(f"its metadata {own} are not those that minicnn writes ({_FORMAT}, {_SHA256})")
    if metadata[_FORMAT] != "1":
        raise WeightsError("it was written by a later version of minicnn, or its header is damaged")
    return digest


def _checked_entry(name: str, entry: Any, data: int) -> _Entry:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"the header's entry {name!r} is not {{dtype, shape, data_offsets}}")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _CODES:
        raise WeightsError(f"{name} has the dtype {code!r}: minicnn reads {', '.join(_CODES)}")
    if not isinstance(shape, list):
        raise WeightsError(f"the shape of {name} is not a list")
    element, sizes = ELEMENTS[_CODES[code]], check_shape(shape, name)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(value) is int for value in offsets):
        raise WeightsError(f"the data_offsets of {name} are not two integers")
    begin, end = offsets
    if not 0 <= begin <= end <= data:
        raise WeightsError(
            f"the data_offsets of {name} lie beyond the {data:,} bytes of data: it is cut short or damaged"
        )
    if end - begin != element.bytes_of(sizes):
        raise WeightsError(
            f"{name} {sizes} of {element.name} takes {element.bytes_of(sizes):,} bytes, its data_offsets "
            f"[{begin}, {end}] hold {end - begin:,}"
        )
    if begin % element.itemsize:
        raise WeightsError(f"{name} of {element.name} is not aligned: it begins at byte {begin} of the data")
    return _Entry(element, sizes, begin, end)


def _check_tiling(in_order: list[tuple[str, _Entry]], data: int) -> None:
    """Every byte of the data belongs to exactly one array."""
    position = 0
    for name, entry in in_order:
        if entry.begin != position:
            kind = "overlaps the array before it" if entry.begin < position else "leaves a gap before it"
            raise WeightsError(f"{name} {kind}: it begins at byte {entry.begin} of the data, not {position}")
        position = entry.end
    if position != data:
        raise WeightsError(f"its arrays take {position:,} bytes of data, the file holds {data:,}")
