"""State dicts in PyTorch's .pth files from before torch 1.6: a row of pickles, then the numbers.

    pickle      a magic number
    pickle      protocol version, 1001
    pickle      {"protocol_version", "little_endian", "type_sizes"} of the machine that wrote it
    pickle      the dictionary; each tensor refers to a storage by a persistent id
    pickle      the keys of the storages, in the order in which they follow
    for each    number of elements, little-endian signed 64-bit, then the numbers

There is no checksum in these files: damage to the numbers themselves cannot be seen. Everything else is
checked, and every length is held against the file, before the numbers are read.

Source: _legacy_save and _legacy_load in torch/serialization.py.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from minicnn.errors import WeightsError
from minicnn.weights.elements import read_bits
from minicnn.weights.pth_file import state_dict_of
from minicnn.weights.restricted_pickle import Mark, Source, interpret
from minicnn.weights.tensors import Storage, build, make_storage

_MAGIC = 0x1950A86A20F9469CFC6C
MAGIC_BYTES = _MAGIC.to_bytes(10, "little")  # within the first 32 bytes, whatever the protocol of the pickle
_VERSION = 1001


def read_arrays(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """The state dict of an open legacy .pth file of `size` bytes, in its order.

    Raises WeightsError when it holds none, or is damaged.
    """
    source = Source(file, size)
    if interpret(source, _nothing_persistent) != _MAGIC:
        raise WeightsError("it does not begin with PyTorch's magic number")
    version = interpret(source, _nothing_persistent)
    if type(version) is not int or version != _VERSION:
        raise WeightsError(f"its protocol version is not {_VERSION}, the only one that PyTorch wrote")
    machine = interpret(source, _nothing_persistent)
    if not isinstance(machine, dict) or machine.get("protocol_version") != _VERSION:
        raise WeightsError("its description of the machine that wrote it is damaged")
    if machine.get("little_endian") is not True:
        raise WeightsError(
            "it was written on a big-endian machine, or its byte order is damaged: save it again with a newer PyTorch"
        )
    storages: dict[str, Storage] = {}

    def persistent(saved: Any) -> Storage:
        storage = _storage(saved)
        if storages.setdefault(storage.key, storage)[:3] != storage[:3]:
            raise WeightsError(f"its pickle describes storage {storage.key[:40]} in two ways: it is damaged")
        return storage

    tensors = state_dict_of(interpret(source, persistent))
    keys = interpret(source, _nothing_persistent)
    if (
        not isinstance(keys, list)
        or not all(isinstance(key, str) for key in keys)
        or sorted(keys) != sorted(storages)
    ):
        raise WeightsError("its list of storages is not that of its tensors: it is damaged")
    starts = _starts(source, [storages[key] for key in keys])

    def read_storage(key: str) -> np.ndarray:
        file.seek(starts[key])
        return read_bits(file, storages[key].element, (storages[key].size,))

    return build(tensors, read_storage)


def _nothing_persistent(saved: Any) -> Any:
    raise WeightsError("its pickle refers to a storage where there can be none: it is damaged")


def _storage(saved: Any) -> Storage:
    """("storage", class, key, device, number of elements, view), where view is None or (key, start, elements)."""
    if isinstance(saved, tuple) and saved[:1] == ("module",):
        raise WeightsError("it is a whole pickled model, which is code: save model.state_dict() instead")
    if (
        not isinstance(saved, tuple)
        or len(saved) != 6
        or saved[0] != "storage"
        or not isinstance(saved[1], Mark)
    ):
        raise WeightsError("its pickle refers to something that is not a storage: it is damaged")
    storage, view = make_storage(saved[1].name, saved[2], saved[4]), saved[5]
    if view is None:
        return storage
    if (
        not isinstance(view, tuple)
        or len(view) != 3
        or not all(type(value) is int and value >= 0 for value in view[1:])
    ):
        raise WeightsError(
            "its pickle holds a view of a storage that is no (key, start, elements): it is damaged"
        )
    _, start, elements = view
    if start + elements > storage.size:
        raise WeightsError(f"it holds a view that reaches beyond its storage of {storage.size:,} elements")
    return storage._replace(start=start)


def _starts(source: Source, storages: list[Storage]) -> dict[str, int]:
    """Where the numbers of each storage begin, by key; the last must end where the file ends."""
    starts = {}
    for storage in storages:
        told = source.unpack("<q")
        if told != storage.size:
            raise WeightsError(
                f"a storage of {storage.size:,} elements is followed by {told:,}: it is damaged at byte {source.position:,}"
            )
        starts[storage.key] = source.position
        source.skip(storage.size * storage.element.itemsize)
    if source.position != source.end:
        raise WeightsError(f"it goes on for {source.end - source.position:,} bytes after its last storage")
    return starts
