"""make gpu-check as far as it can be tried without a GPU: its checks on a stand-in for CuPy, its report, its words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_check, gpu_device, gpu_training
from minicnn import backend, models
from minicnn.kernels.cuda_calls import launch
from tests.support import fake_cupy


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    cupy = fake_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    launch.load.cache_clear()
    yield cupy
    launch.load.cache_clear()


class TestChecks:
    def test_every_layer_agrees(self, gpu: Any) -> None:
        assert "layers, largest relative difference" in gpu_device.every_layer_agrees_with_the_cpu()

    def test_kernels_are_taken(self, gpu: Any) -> None:
        assert gpu_device.kernels_are_taken().startswith("conv2d: implicit, max_pool2d: direct")

    def test_labels(self, gpu: Any) -> None:
        assert gpu_device.labels_out_of_range_are_seen() == "the loss is NaN"

    @pytest.mark.slow
    def test_gradients(self, gpu: Any) -> None:
        assert "layers, largest deviation" in gpu_device.gradients_in_float64()

    def test_a_wrong_layer_fails_the_check(self, gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from minicnn.kernels.cuda_calls import max_pool2d

        right = max_pool2d.MaxPool2dKernelCache.backward
        monkeypatch.setattr(
            max_pool2d.MaxPool2dKernelCache, "backward", lambda self, dy: right(self, dy) * 1.001
        )
        with pytest.raises(AssertionError, match=r"MaxPool2d.*off by 1\.0e-03"):
            gpu_device.every_layer_agrees_with_the_cpu()


def test_a_model_moves_there_and_back(gpu: Any) -> None:
    model = models.lenet5(rng=np.random.default_rng(0))
    before = {name: value.copy() for name, value in model.state_dict().items()}
    model.to("cuda")
    assert model.device == "cuda"
    assert all(isinstance(value, fake_cupy.ndarray) for value in model.state_dict().values())
    model.load_state_dict(before)
    model.to("cpu")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
        assert type(value) is np.ndarray


def test_arrays_of_both_kinds_never_meet_silently(gpu: Any) -> None:
    x = np.zeros((2, 1, 28, 28), np.float32)
    with pytest.raises(backend.DeviceError, match="move them to one device"):
        models.lenet5().to("cuda")(x)


class TestReport:
    def test_without_a_gpu(self, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "cupy", None)
        assert gpu_check.main([str(tmp_path / "out")]) == 2
        assert capsys.readouterr().out.startswith(
            "gpu-check: there is no GPU to check. CuPy is not installed"
        )
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("fails", [False, True])
    def test_with_one(
        self, fails: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
    ) -> None:
        monkeypatch.setattr(backend, "cuda_problem", lambda: None)
        monkeypatch.setattr(gpu_check, "machine", lambda: {"devices": ["cuda:0 Test GPU"]})
        row = gpu_training.ROWS[0]._asdict()
        measured = {**row, "ms": {"minicnn": 0.5, "torch": 1.0}, "ratio": 2.0, "images_per_second": 256000}
        results: dict[str, Any] = {
            "benchmark": {
                "passed": True,
                "rows": [measured, {**row, "not_measured": "LookupError: none yet"}],
            },
            "kernels": {
                "passed": not fails,
                "note": "3 failed",
                **({"output": "E   off by 1"} if fails else {}),
            },
        }
        monkeypatch.setattr(
            gpu_check,
            "run_section",
            lambda section, seconds: {"seconds": 1.0, **results.get(section, {"passed": True})},
        )
        assert gpu_check.main([str(tmp_path)]) == int(fails)
        report = (tmp_path / "gpu_check.md").read_text()
        assert "| lenet5 | 128 | fp32 | 2.00 | 1.5 | 3.0 | 0.500 | 1.000 | 256000 | - |" in report
        assert "not measured: LookupError: none yet" in report
        assert ("E   off by 1" in report) == fails
        written = json.loads((tmp_path / "gpu_check.json").read_text())
        assert set(written["sections"]) == set(gpu_check.SECTIONS)
        assert ("something failed" in capsys.readouterr().out) == fails

    def test_the_sections_fit_into_eight_minutes(self) -> None:
        assert gpu_check.TOTAL_SECONDS <= 480

    def test_a_section_that_crashes_is_reported(self) -> None:
        result = gpu_check.run_section("no such section", 60)
        assert not result["passed"]
        assert "KeyError" in result["output"]

    def test_a_section_that_hangs_is_stopped(self) -> None:
        result = gpu_check.run_section("device", 0.05)
        assert not result["passed"]
        assert result["exit_status"] == "stopped after 0 s"
