"""load, save, read and write: one behaviour for every format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn import weights
from minicnn.errors import ConfigError, DTypeError, WeightsError
from minicnn.layers import Sequential
from minicnn.models import build
from tests.support.training import tiny_network, weights_digest
from tests.weights.samples import SUFFIXES, assert_same, odd_state, small_state

every_format = pytest.mark.parametrize("suffix", SUFFIXES)
FORMATS = {".safetensors": "safetensors", ".npz": "npz", ".pth": "PyTorch"}

arrays = st.sampled_from(
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
names = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=20).filter(
    str.isprintable
)


@every_format
@pytest.mark.parametrize("state", [small_state(), odd_state(), {}], ids=["small", "odd", "empty"])
def test_what_is_written_is_what_is_read(tmp_path: Path, suffix: str, state: dict[str, np.ndarray]) -> None:
    path = tmp_path / f"w{suffix}"
    weights.write(state, path)
    found = weights.read_state_file(path)
    assert_same(found.arrays, state)
    assert found.format == FORMATS[suffix]
    if suffix != ".safetensors":
        assert list(found.arrays) == list(state)


@every_format
@given(state=st.dictionaries(names, arrays, max_size=4))
def test_any_state_comes_back(tmp_path_factory: pytest.TempPathFactory, suffix: str, state: dict) -> None:
    path = tmp_path_factory.mktemp("any") / f"w{suffix}"
    weights.write(state, path)
    assert_same(weights.read(path), state)


@every_format
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, suffix: str, dtype: str) -> None:
    model, other = tiny_network(1).astype(dtype), tiny_network(2).astype(dtype)
    model.bn.num_batches_tracked.value[...] = 12345678901
    weights.save(model, tmp_path / f"w{suffix}")
    assert not any(weights.load(other, tmp_path / f"w{suffix}"))
    assert weights_digest(other) == weights_digest(model)


@every_format
def test_the_same_weights_give_the_same_file(tmp_path: Path, suffix: str) -> None:
    weights.save(tiny_network(1), tmp_path / f"a{suffix}")
    weights.save(tiny_network(1), tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@every_format
def test_the_format_is_told_by_content(tmp_path: Path, suffix: str) -> None:
    weights.write(small_state(), tmp_path / f"w{suffix}")
    for name in ("weights", "w.bin", "w.npz", "w.safetensors", "w.pth"):
        (tmp_path / f"w{suffix}").replace(tmp_path / name)
        assert_same(weights.read(tmp_path / name), small_state())
        (tmp_path / name).replace(tmp_path / f"w{suffix}")


@every_format
def test_arrays_of_any_layout_are_stored_by_value(tmp_path: Path, suffix: str) -> None:
    plain = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    odd = {
        "fortran": np.asfortranarray(plain),
        "reversed": plain[:, ::-1],
        "sliced": plain[:, 1:, ::2],
        "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
        "big_endian": plain.astype(">f4"),
    }
    weights.write(odd, tmp_path / f"w{suffix}")
    expected = {name: np.array(array, np.float32, order="C") for name, array in odd.items()}
    assert_same(weights.read(tmp_path / f"w{suffix}"), expected)


def test_published_suffixes_in_capitals_and_pt(tmp_path: Path) -> None:
    for name, form in {"A.NPZ": "npz", "a.pt": "PyTorch", "a.SafeTensors": "safetensors"}.items():
        weights.write(small_state(), tmp_path / name)
        assert weights.read_state_file(tmp_path / name).format == form


class TestRefusedToWrite:
    @pytest.mark.parametrize("name", ["weights", "weights.bin", "weights.h5", ".npz"])
    def test_an_unknown_suffix(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ConfigError, match=r"end its name with \.safetensors, \.npz, \.pth, \.pt"):
            weights.save(tiny_network(), tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("suffix", [".npz", ".pth"])
    def test_metadata_where_there_is_no_place(self, tmp_path: Path, suffix: str) -> None:
        with pytest.raises(ConfigError, match=r"only \.safetensors files keep metadata"):
            weights.save(tiny_network(), tmp_path / f"w{suffix}", {"epoch": "3"})

    @every_format
    @pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\ud800", 3])
    def test_a_name_that_no_file_can_hold(self, tmp_path: Path, suffix: str, name: str) -> None:
        with pytest.raises(ConfigError, match="cannot be the name of an array"):
            weights.write({name: np.ones(1)}, tmp_path / f"w{suffix}")

    @every_format
    @pytest.mark.parametrize(
        "array", [np.array([None]), np.array("text"), np.ones(1, complex), np.ones(1, "M8[s]")]
    )
    def test_what_is_no_array_of_numbers(self, tmp_path: Path, suffix: str, array: np.ndarray) -> None:
        with pytest.raises(DTypeError, match=r"w is of .* cannot hold: convert it first"):
            weights.write({"w": array}, tmp_path / f"w{suffix}")

    def test_unsigned_integers_that_pytorch_lacks(self, tmp_path: Path) -> None:
        with pytest.raises(DTypeError, match="uint32, which a PyTorch file cannot hold"):
            weights.write({"w": np.ones(1, np.uint32)}, tmp_path / "w.pth")
        for suffix in (".npz", ".safetensors"):
            weights.write({"w": np.ones(1, np.uint32)}, tmp_path / f"w{suffix}")

    @every_format
    def test_a_missing_folder(self, tmp_path: Path, suffix: str) -> None:
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            weights.save(tiny_network(), tmp_path / "no" / f"w{suffix}")


class TestRefusedToRead:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "it is empty"),
            (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5 file, as Keras writes"),
            (b"\x93NUMPY\1\0" + bytes(90), "one array .*numpy.savez"),
            (b"\x80\x04\x95" + bytes(90), "a pickle that torch.save did not write.*never opened"),
            (b"\x89PNG\r\n\x1a\n" + bytes(90), "begins with 89 50 4e 47 0d 0a 1a 0a: expected safetensors"),
            (b"sys_info" + bytes(600), "tar archive, as PyTorch wrote before 0.1.10"),
            (b"\n", "begins with 0a: expected"),
        ],
        ids=["empty", "hdf5", "npy", "pickle", "png", "tar", "newline"],
    )
    def test_another_kind_of_file(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "w.pth"
        path.write_bytes(content)
        with pytest.raises(
            WeightsError, match=r"w.pth is not a PyTorch file, or it is damaged \(.*" + message
        ):
            weights.read(path)

    def test_a_missing_file_and_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"no weights file .*nowhere: check the path"):
            weights.read(tmp_path / "nowhere")
        with pytest.raises(WeightsError, match="it is a folder or a device"):
            weights.read(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes by name")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(WeightsError, match="a folder or a device"):
            weights.read(tmp_path / "pipe")

    def test_an_endless_device(self) -> None:
        with pytest.raises(WeightsError, match="a folder or a device"):
            weights.read(os.devnull)


@every_format
def test_an_empty_model(tmp_path: Path, suffix: str) -> None:
    weights.save(Sequential(), tmp_path / f"w{suffix}")
    assert not any(weights.load(Sequential(), tmp_path / f"w{suffix}"))


@every_format
def test_a_damaged_file_leaves_the_model_alone(tmp_path: Path, suffix: str) -> None:
    model, path = build("lenet5"), tmp_path / f"w{suffix}"
    weights.save(build("lenet5"), path)
    before = weights_digest(model)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"SHA-256 is .*it has changed since it was written"):
        weights.load(model, path, strict=False)
    assert weights_digest(model) == before
