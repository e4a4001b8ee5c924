"""State dicts in safetensors files: what is written is what is read, and damage is explained."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save as library_save

from minicnn import weights
from minicnn.errors import ConfigError, WeightsError
from minicnn.layers import BatchNorm2d, Layer, Linear, Sequential
from minicnn.models import build, lenet5
from tests.support.training import tiny_network, weights_digest
from tests.weights.samples import assert_same, odd_state


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    weights.save(tiny_network(seed=1), path)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_comes_back_bit_for_bit(tmp_path: Path, dtype: type) -> None:
    model, other = tiny_network(seed=1).astype(dtype), tiny_network(seed=2).astype(dtype)
    model.bn.running_mean.value[...] = np.pi
    model.bn.num_batches_tracked.value[...] = 12345678901
    weights.save(model, tmp_path / "w.safetensors")
    report = weights.load(other, tmp_path / "w.safetensors")
    assert not any(report)
    assert weights_digest(other) == weights_digest(model)


def test_read_gives_the_arrays_by_name(saved: Path) -> None:
    state = tiny_network(seed=1).state_dict()
    arrays = weights.read(saved)
    assert list(arrays) == sorted(state), "in an order that does not change from run to run"
    for name, array in arrays.items():
        assert array.dtype == state[name].dtype
        np.testing.assert_array_equal(array, state[name])
    assert arrays["bn.num_batches_tracked"].shape == ()
    assert arrays["bn.num_batches_tracked"].dtype == np.int64


def test_other_programs_read_it(saved: Path) -> None:
    for name, array in load_file(saved).items():
        np.testing.assert_array_equal(array, tiny_network(seed=1).state_dict()[name])


def test_views_and_awkward_strides_are_saved_by_value(tmp_path: Path) -> None:
    """A weight that is a transposed or reversed view has the numbers that it shows."""
    layer = Linear(3, 4, rng=np.random.default_rng(0))
    expected = layer.weight.value[::-1].copy()
    layer.weight.replace(lambda value: np.asfortranarray(value)[::-1])
    weights.save(layer, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(weights.read(tmp_path / "w.safetensors")["weight"], expected)


@pytest.mark.parametrize("metadata", [{}, {"epoch": "3"}, {"a": "", "Ü": '"quoted"\n日本'}])
def test_metadata_are_kept_in_the_header(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(Linear(2, 2, rng=np.random.default_rng(0)), path, metadata)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    kept = json.loads(content[8 : 8 + length])["__metadata__"]
    own = {"minicnn.format": "1", "minicnn.sha256": kept["minicnn.sha256"]}
    assert kept == metadata | own
    unsealed = content.replace(own["minicnn.sha256"].encode(), b"0" * 64)
    assert own["minicnn.sha256"] == hashlib.sha256(unsealed).hexdigest()
    assert set(weights.read(path)) == {"weight", "bias"}


def test_loading_writes_in_place(saved: Path) -> None:
    """Optimizers and views stay attached."""
    model = tiny_network(seed=2)
    value = model.conv.weight.value
    weights.load(model, saved)
    assert model.conv.weight.value is value
    np.testing.assert_array_equal(value, tiny_network(seed=1).conv.weight.value)


def test_a_layer_without_parameters_is_an_empty_file(tmp_path: Path) -> None:
    weights.save(Sequential(), tmp_path / "w.safetensors")
    assert weights.read(tmp_path / "w.safetensors") == {}


def file_of(header: object, data: int = 0) -> bytes:
    """A safetensors file with this header, given as JSON text or as what JSON can say, and so many zeros."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


class TestHeader:
    """Files of other programs, whole and crooked."""

    def read(self, tmp_path: Path, content: bytes) -> dict[str, np.ndarray]:
        path = tmp_path / "w.safetensors"
        path.write_bytes(content)
        return weights.read(path)

    def test_another_programs_file_needs_no_checksum(self, tmp_path: Path) -> None:
        arrays = odd_state()
        assert_same(self.read(tmp_path, library_save(arrays, metadata={"format": "pt"})), arrays)

    def test_a_header_without_padding_is_read(self, tmp_path: Path) -> None:
        """As the library's first versions wrote: then the arrays lie at odd addresses."""
        content = file_of({"w": entry()}, 0) + struct.pack("<f", 1.5)
        assert (len(content) - 4) % 4, "the case is what it says"
        assert_same(self.read(tmp_path, content), {"w": np.array([1.5], np.float32)})

    def test_bfloat16_becomes_float32(self, tmp_path: Path) -> None:
        content = file_of({"w": entry("BF16", [2], [0, 4])}) + struct.pack("<2H", 0x3FC0, 0xFF80)
        assert_same(self.read(tmp_path, content), {"w": np.array([1.5, -np.inf], np.float32)})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (file_of({"w": entry(offsets=[0, 8])}, 8), "takes 4 bytes, its data_offsets .* hold 8"),
            (file_of({"w": entry(offsets=[0, 4])}, 3), "data_offsets of w lie beyond the 3 bytes"),
            (file_of({"w": entry(offsets=[-4, 0])}, 4), "data_offsets of w lie beyond"),
            (file_of({"w": entry(offsets=[4, 0])}, 4), "data_offsets of w lie beyond"),
            (file_of({"w": entry(offsets=[0, 4])}, 5), "take 4 bytes of data, the file holds 5"),
            (file_of({"w": entry(offsets=[4, 8])}, 8), "leaves a gap"),
            (file_of({"a": entry(), "b": entry()}, 4), "b overlaps"),
            (
                file_of({"a": entry("U8", [1], [0, 1]), "b": entry(offsets=[1, 5])}, 5),
                "b of float32 is not aligned",
            ),
            (file_of('{"w":%s,"w":%s}' % ((json.dumps(entry()),) * 2), 4), "names 'w' twice"),
            (file_of('{"w":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', 4), "'dtype' twice"),
            (file_of({"w": entry("F8_E4M3", [4])}, 4), "dtype 'F8_E4M3'"),
            (file_of({"w": entry(dtype=[])}, 4), "has the dtype"),
            (file_of({"w": entry(shape="1")}, 4), "shape of w is not a list"),
            (file_of({"w": entry(shape=[-1])}, 4), "not made of sizes"),
            (file_of({"w": entry(shape=[True])}, 4), "not made of sizes"),
            (file_of({"w": entry(shape=[1.0])}, 4), "not made of sizes"),
            (file_of({"w": entry(shape=[2**62, 2**62])}, 4), "impossible shape"),
            (file_of({"w": entry(shape=[0, 2**62, 2**62], offsets=[0, 0])}), "impossible shape"),
            (file_of({"w": entry(shape=[1] * 65)}, 4), "65 dimensions"),
            (file_of({"w": entry(offsets=[0])}, 4), "not two integers"),
            (file_of({"w": entry(offsets=[0, "4"])}, 4), "not two integers"),
            (file_of('{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,%s]}}' % ("9" * 4000), 4), "lie beyond"),
            (file_of('{"w":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % ("9" * 5000), 4), "not JSON"),
            (file_of({"w": {"dtype": "F32"}}), "is not {dtype, shape, data_offsets}"),
            (file_of({"w": [1]}), "is not {dtype, shape, data_offsets}"),
            (file_of({"__metadata__": {"a": 1}}), "__metadata__ of its header are not strings"),
            (file_of('{"w":' + "[" * 200_000), "not JSON"),
            (file_of('{"\xff"'), "not JSON"),
            (file_of("{"), "not JSON|cut short"),
            (struct.pack("<Q", 1 << 63) + b"{}", "header claims 9,223,372,036,854,775,808 bytes"),
            (file_of({"__metadata__": {"minicnn.sha256": "0" * 64}}), "not those that minicnn writes"),
            (file_of({"__metadata__": {"minicnn.format": "1"}}), "not those that minicnn writes"),
            (
                file_of({"__metadata__": {"minicnn.format": "2", "minicnn.sha256": "0" * 64}}),
                "a later version of minicnn",
            ),
            (
                file_of({"__metadata__": {"minicnn.format": "1", "minicnn.sha256": "0" * 64}}),
                "SHA-256 is .* it has changed",
            ),
        ],
    )  # fmt: skip
    def test_crooked(self, tmp_path: Path, content: bytes, message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            self.read(tmp_path, content)

    def test_names_that_cannot_be_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        for state, metadata in [
            ({"__metadata__": np.ones(1)}, {}),
            ({"w": np.ones(1)}, {"minicnn.sha256": "mine"}),
            ({"0" * 64: np.ones(1)}, {}),
            ({"w": np.ones(1)}, {"zeros": "0" * 70}),
        ]:
            with pytest.raises(ConfigError, match=r"rename|checksum"):
                weights.write(state, path, metadata)
        assert not path.exists()


class TestRefused:
    def assert_unchanged(self, model: Layer, path: Path, message: str) -> None:
        before = weights_digest(model)
        with pytest.raises(WeightsError, match=message):
            weights.load(model, path)
        assert weights_digest(model) == before

    def test_no_file(self, tmp_path: Path) -> None:
        self.assert_unchanged(
            tiny_network(), tmp_path / "nowhere", r"no weights file .*nowhere: check the path"
        )

    def test_a_folder(self, tmp_path: Path) -> None:
        self.assert_unchanged(tiny_network(), tmp_path, "is not a weights file.*it is a folder")

    def test_cut_short_anywhere(self, saved: Path) -> None:
        content = saved.read_bytes()
        for kept in {*range(0, len(content), 37), 7, 8, 9, len(content) - 1}:
            saved.write_bytes(content[:kept])
            self.assert_unchanged(tiny_network(), saved, "is not a safetensors file, or it is damaged")

    @pytest.mark.parametrize(
        "content",
        [
            b"\x89PNG\r\n\x1a\n" + bytes(100),
            b"PK\x03\x04" + bytes(100),
            b"\x80\x04\x95" + bytes(100),
            b"\xff" * 64,
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 64)
            + b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}'.ljust(64)
            + bytes(8),
            struct.pack("<Q", 64)
            + b'{"w":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}'.ljust(64)
            + bytes(4),
        ],
        ids=["png", "zip", "pickle", "huge header", "list", "wrong length", "unknown dtype"],
    )
    def test_another_kind_of_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "w.safetensors"
        path.write_bytes(content)
        self.assert_unchanged(tiny_network(), path, "is not a safetensors file, or it is damaged")

    def test_another_model_says_what_does_not_fit(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        weights.save(build("convnet3"), path)
        self.assert_unchanged(
            lenet5(),
            path,
            r"(?s)missing.*fc3\.weight \(10, 84\).*unexpected.*conv3\.bias \(128,\).*conv1\.bias \(32,\) for \(6,\)",
        )

    def test_another_number_of_classes_says_both_shapes(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        weights.save(lenet5(num_classes=7), path)
        self.assert_unchanged(lenet5(), path, r"(?s)nothing was loaded.*fc3\.weight \(7, 84\) for \(10, 84\)")

    def test_what_fits_can_be_loaded_all_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        donor, model = lenet5(num_classes=7), lenet5()
        head = model.fc3.weight.value.copy()
        weights.save(donor, path)
        report = weights.load(model, path, strict=False)
        assert [line.split()[0] for line in report.mismatched] == ["fc3.bias", "fc3.weight"]
        np.testing.assert_array_equal(model.conv1.weight.value, donor.conv1.weight.value)
        np.testing.assert_array_equal(model.fc3.weight.value, head)

    def test_saving_into_a_missing_folder_names_it(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            weights.save(BatchNorm2d(2), tmp_path / "no" / "w.safetensors")
