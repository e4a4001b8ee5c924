"""State dicts in safetensors files: what is written is what is read, and damage is explained."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from minicnn import weights
from minicnn.errors import WeightsError
from minicnn.layers import BatchNorm2d, Layer, Linear, Sequential
from minicnn.models import build, lenet5
from tests.support.training import tiny_network, weights_digest


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
    assert json.loads(content[8 : 8 + length]).get("__metadata__", {}) == metadata
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
        self.assert_unchanged(tiny_network(), tmp_path, "is not a safetensors file, or it is damaged")

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
            r"missing: fc3\.weight.*unexpected: conv3\.bias.*mismatched: conv1\.bias \(32,\) for \(6,\)",
        )

    def test_another_number_of_classes_says_both_shapes(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        weights.save(lenet5(num_classes=7), path)
        self.assert_unchanged(lenet5(), path, r"fc3\.weight \(7, 84\) for \(10, 84\).*nothing was loaded")

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
