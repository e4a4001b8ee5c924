"""State dicts in PyTorch's .pth files of today (torch 1.6 and newer): a zip archive.

    NAME/data.pkl       the pickled dictionary; each tensor refers to a storage by a persistent id
    NAME/data/KEY       the numbers of storage KEY
    NAME/byteorder      "little" or "big"; little where it is missing (before torch 2.1)
    NAME/version, ...   not needed here

The pickle is interpreted by restricted_pickle, which builds arrays and nothing else. Older files:
pth_legacy.

Source: torch/serialization.py and caffe2/serialize/inline_container.cc of PyTorch 2.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from minicnn.errors import WeightsError
from minicnn.weights.restricted_pickle import Mark, Source, interpret
from minicnn.weights.tensors import STORAGES, Storage, Tensor, build, make_storage
from minicnn.weights.zip_archive import ZipArchive, sealed

# Where training scripts put the state dict among other things.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
CLASSES = {element: name for name, element in STORAGES.items()}


def read_arrays(archive: ZipArchive) -> dict[str, np.ndarray]:
    """The state dict of a checked archive, in its order. Raises WeightsError when it holds none, or is damaged."""
    folder = _folder(archive)
    byte_order: Literal["<", ">"] = ">" if _is_big_endian(archive, folder) else "<"

    def persistent(saved: Any) -> Storage:
        """("storage", class, key, device, number of elements)."""
        if (
            not isinstance(saved, tuple)
            or len(saved) != 5
            or saved[0] != "storage"
            or not isinstance(saved[1], Mark)
        ):
            raise WeightsError("its pickle refers to something that is not a storage: it is damaged")
        storage = make_storage(saved[1].name, saved[2], saved[4])
        size, expected = (
            archive.size_of(f"{folder}data/{storage.key}"),
            storage.size * storage.element.itemsize,
        )
        if size != expected:
            raise WeightsError(
                f"its storage {storage.key} of {storage.size:,} {storage.element.name} takes {expected:,} bytes, its "
                f"member has {size:,}"
            )
        return storage

    pickled = archive.read(f"{folder}data.pkl")
    value = interpret(Source(io.BytesIO(pickled), len(pickled)), persistent)
    tensors = state_dict_of(value)
    elements = {tensor.storage.key: tensor.storage.element for tensor in tensors.values()}

    def read_storage(key: str) -> np.ndarray:
        return np.frombuffer(
            archive.read(f"{folder}data/{key}"), elements[key].stored.newbyteorder(byte_order)
        )

    arrays = build(tensors, read_storage)
    archive.verify_the_rest()
    return arrays


def state_dict_of(value: Any) -> dict[str, Tensor]:
    """The dictionary of tensors in what torch.save was given: itself, or wrapped once in a checkpoint."""
    if not isinstance(value, dict):
        raise WeightsError(f"it holds a {_kind(value)}, not a state dict: save model.state_dict()")
    wrapped = [key for key in WRAPPERS if isinstance(value.get(key), dict) and _has_tensors(value[key])]
    if len(wrapped) > 1:
        raise WeightsError(f"it holds several state dicts ({', '.join(wrapped)}): save the one you mean")
    if wrapped:
        value = value[wrapped[0]]
    strangers = [
        (key, entry)
        for key, entry in value.items()
        if not isinstance(key, str) or not isinstance(entry, Tensor)
    ]
    if strangers:
        key, entry = strangers[0]
        raise WeightsError(
            f"its entry {str(key)[:80]!r} is a {_kind(entry)}, not a tensor: expected name -> tensor, alone or under one of "
            f"{', '.join(WRAPPERS)}; save model.state_dict()"
        )
    return dict(value)


def _has_tensors(value: dict[Any, Any]) -> bool:
    return any(isinstance(entry, Tensor) for entry in value.values())


def _kind(value: Any) -> str:
    return {"dict": "dictionary", "Tensor": "tensor", "NoneType": "None", "Mark": "class"}.get(
        type(value).__name__, type(value).__name__
    )


def _folder(archive: ZipArchive) -> str:
    """The folder that everything lies in, such as "archive/"."""
    pickles = [name for name in archive.members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(f"it holds {len(pickles)} members called data.pkl, expected one")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in archive.members:
        raise WeightsError(
            "it is a TorchScript program, not a state dict: in PyTorch, "
            "torch.save(torch.jit.load(path).state_dict(), new_path)"
        )
    if strangers := [name for name in archive.members if not name.startswith(folder)]:
        raise WeightsError(
            f"its member {strangers[0]!r} lies outside {folder!r}, where torch.save puts everything"
        )
    return folder


def _is_big_endian(archive: ZipArchive, folder: str) -> bool:
    if f"{folder}byteorder" not in archive.members:
        return False
    marker = archive.read(f"{folder}byteorder").strip()
    if marker not in (b"little", b"big"):
        raise WeightsError(f"its byteorder is {marker[:20]!r}, expected little or big")
    return marker == b"big"


# ---- writing


def to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a .pth file that torch.load reads (weights_only=True), sealed with its checksum."""
    members = [("archive/data.pkl", b"".join(_pickled(arrays))), ("archive/byteorder", b"little")]
    for key, array in enumerate(arrays.values()):
        members.append(
            (f"archive/data/{key}", array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        )
    return sealed([*members, ("archive/version", b"3\n")])


def _pickled(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """OrderedDict(), then (name, _rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict())) of each array."""
    yield b"\x80\x02ccollections\nOrderedDict\n)R("
    for key, (name, array) in enumerate(arrays.items()):
        stride = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
        yield _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
        yield _text("storage") + f"ctorch\n{CLASSES[array.dtype.name]}\n".encode()
        yield _text(str(key)) + _text("cpu") + _integer(array.size) + b"tQ" + _integer(0)
        yield _integers(array.shape) + _integers(stride) + b"\x89ccollections\nOrderedDict\n)RtR"
    yield b"u."


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 1 << 31 else b"\x8a\x08" + struct.pack("<q", value)


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"
