"""NumPy's .npz files: NumPy reads ours, we read NumPy's, and nothing that would need unpickling."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minicnn import weights
from minicnn.errors import WeightsError
from tests.weights.samples import assert_same, odd_state, small_state


def npz_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode("latin1") + data


def test_numpy_reads_ours(tmp_path: Path) -> None:
    weights.write(small_state(), tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as arrays:
        assert_same(dict(arrays), small_state())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("state", [small_state(), odd_state()], ids=["small", "odd"])
def test_we_read_numpys(tmp_path: Path, save: Callable, state: dict[str, np.ndarray]) -> None:
    save(tmp_path / "w.npz", **state)
    assert_same(weights.read(tmp_path / "w.npz"), state)


def test_fortran_order_and_big_endian_numbers(tmp_path: Path) -> None:
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "w.npz", a=np.asfortranarray(plain), b=plain.astype(">f4"), c=plain.T.astype(">i8"))
    expected = {"a": plain, "b": plain, "c": np.ascontiguousarray(plain.T.astype(np.int64))}
    assert_same(weights.read(tmp_path / "w.npz"), expected)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy(tmp_path: Path, version: tuple[int, int]) -> None:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.arange(3.0), version=version)
    assert_same(weights.read(npz_of(tmp_path / "w.npz", a=content.getvalue())), {"a": np.arange(3.0)})


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(WeightsError, match="arrays of objects hold code and are never read"):
        weights.read(tmp_path / "w.npz")


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(HEADER, bytes(7)), r"takes \d+ bytes, it has \d+"),
        (npy(HEADER, bytes(9)), r"takes \d+ bytes, it has \d+"),
        (npy(HEADER.replace("(2,)", "(99999999999,)"), bytes(8)), "takes 400,000,000,"),
        (npy(HEADER.replace("(2,)", "(9999999999999999999,)"), bytes(8)), "impossible shape"),
        (npy(HEADER.replace("(2,)", f"({'1, ' * 40})"), bytes(4)), "40 dimensions"),
        (npy(HEADER.replace("(2,)", "(-2,)"), bytes(8)), "has the header"),
        (npy(HEADER.replace("(2,)", "(__import__('os').system('true'),)"), bytes(8)), "has the header"),
        (npy(HEADER.replace("<f4", "|O"), bytes(16)), "arrays of objects"),
        (npy(HEADER.replace("<f4", "<f1"), bytes(2)), "numbers that minicnn does not read"),
        (npy(HEADER.replace("<f4", "<c8"), bytes(16)), "has the header"),
        (npy(HEADER.replace("'<f4'", "[('x', '<f4')]"), bytes(8)), "has the header"),
        (npy("(" * 9000), "has the header"),
        (b"\x93NUMPY\1\0\xff\xff" + HEADER.encode(), "has the header"),
        (b"\x93NUMPY\4\0" + bytes(20), "is not an .npy file"),
        (b"hello", "is not an .npy file"),
        (b"", "is not an .npy file"),
    ],
)
def test_crooked(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        weights.read(npz_of(tmp_path / "w.npz", a=content))


def test_an_archive_of_other_things(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"holds 'readme.txt', and an .npz file holds .npy files only"):
        weights.read(tmp_path / "w.npz")
