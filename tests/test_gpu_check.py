"""make gpu-check as far as it can be tried without a GPU: its checks on a stand-in for CuPy, its report, its words."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_check, gpu_device, gpu_items, gpu_roofline, gpu_training
from minicnn import backend, models
from minicnn import layers as L
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

    @pytest.mark.slow
    def test_every_kernel_once(self) -> None:
        assert "every tile" in gpu_device.every_kernel_once()

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


# A program of three items, of which the second does what a test gives in place of WHAT.
PROGRAM = """
import os, sys, time, types
from benchmarks import gpu_items

class Lost:
    def sum(self): raise RuntimeError("an illegal memory access was encountered")

def second():
    WHAT

gpu_items.walk([("first", lambda: 1), ("second", second), ("third", lambda: {"ms": 3.0})])
"""


def walk(what: str, seconds: float = 60, item_seconds: float = 60) -> dict[str, Any]:
    program = PROGRAM.replace("WHAT", what)
    environment = {**os.environ, "PYTHONPATH": str(gpu_check.ROOT)}
    return gpu_items.run([sys.executable, "-c", program], environment, seconds, item_seconds)


class TestItems:
    def test_all_well(self) -> None:
        result = walk("return 'two'")
        assert result["passed"]
        assert result["note"] == "3 of 3 passed"
        assert [item["found"] for item in result["items"]] == [1, "two", {"ms": 3.0}]

    @pytest.mark.parametrize(
        ("what", "found"),
        [
            ("raise ValueError('off by 1')", "ValueError: off by 1"),
            ("os.kill(os.getpid(), 11)", "the process ended with exit status -11"),
            ("os._exit(1)", "the process ended with exit status 1"),
            (
                "sys.modules['cupy'] = types.SimpleNamespace(ones=lambda n: Lost()); raise RuntimeError('wrong')",
                "RuntimeError: wrong",
            ),
        ],
    )
    def test_one_that_fails_takes_no_other_along(self, what: str, found: str) -> None:
        result = walk(what)
        assert not result["passed"]
        assert [item["passed"] for item in result["items"] if item["item"] != "second"] == [True, True]
        assert [item["found"] for item in result["items"] if item["item"] == "second"] == [found]
        assert result["note"] == "2 of 3 passed"

    def test_a_process_that_fails_at_its_end(self) -> None:
        """As compute-sanitizer does when it has found something."""
        result = walk("import atexit; atexit.register(os._exit, 3)")
        assert not result["passed"]
        assert result["items"][-1]["item"] == "after third"
        assert result["items"][-1]["found"] == "the process ended with exit status 3"

    def test_one_that_hangs_is_stopped(self) -> None:
        result = walk("time.sleep(60)", item_seconds=6)
        assert {item["item"]: item["found"] for item in result["items"]}["second"] == "stopped after 6 s"
        assert result["note"] == "2 of 3 passed"

    def test_no_time_is_left(self) -> None:
        result = walk("time.sleep(60)", seconds=5)
        assert not result["passed"]
        assert result["note"].endswith("no time was left")

    def test_a_program_that_does_not_start(self) -> None:
        result = gpu_items.run(
            [sys.executable, "-c", "import nothing_of_that_name"], dict(os.environ), 60, 60
        )
        assert not result["passed"]
        assert result["note"] == "0 of 0 passed; the process ended with exit status 1"
        assert "nothing_of_that_name" in result["output"]

    def test_tests_are_items(self, tmp_path: Path) -> None:
        (tmp_path / "test_three.py").write_text(
            "import os, pytest\n"
            "def test_a(): assert 1 == 2\n"
            "def test_b(): os._exit(9)\n"
            "def test_c(): pass\n"
            "@pytest.mark.skip(reason='why')\n"
            "def test_d(): pass\n"
        )
        command = [sys.executable, *gpu_check.PYTEST, "-p", "no:randomly", "-c", os.devnull, str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(gpu_check.ROOT)}
        result = gpu_items.run(command, environment, 100, 60, [0, 1, 5], tmp_path)
        outcome = {
            item["item"].rpartition("::")[2]: (item["passed"], item["found"]) for item in result["items"]
        }
        assert outcome["test_a"] == (False, "E   assert 1 == 2")
        assert outcome["test_b"] == (False, "the process ended with exit status 9")
        assert outcome["test_c"] == (True, "")
        assert outcome["test_d"] == (True, "skipped")


def walked(name: str, found: Any, passed: bool = True) -> dict[str, Any]:
    return {"item": name, "passed": passed, "found": found, "seconds": 1.0}


MEASURED = {
    **gpu_training.ROWS[0]._asdict(),
    "ms": {"minicnn": 0.5, "torch": 1.0},
    "ratio": 2.0,
    "torch_problem": "",
    "images_per_second": {"minicnn": 256000, "torch": 128000},
    "graph": "replayed",
}
LAYER = {
    "layer": "conv1",
    "kind": "convolution",
    "input": [64, 1, 28, 28],
    "count": 2,
    "forward": {"seconds": 1e-3, "flops": 1e9, "bytes": 1e7},
    "backward": {"seconds": 2e-3, "flops": 2e9, "bytes": 2e7},
}
ROOFLINE = [
    walked("peaks", {"flops": 1e13, "bytes": 1e11}),
    walked("lenet5", [LAYER]),
    walked("vgg16", "no memory", False),
]


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
        monkeypatch.setattr(gpu_check, "machine", lambda: {"devices": ["cpu", "cuda:0 Test GPU, 80 GiB"]})
        rows = [gpu_training.title(row._asdict()) for row in gpu_training.ROWS]
        alone = {**MEASURED, "ms": {"minicnn": 0.5}, "ratio": None, "torch_problem": "ImportError: no torch",
                 "images_per_second": {"minicnn": 256000}}  # fmt: skip
        found: dict[str, list[Any]] = {
            "device": [walked("lenet5 learns", "test accuracy 86%")],
            "benchmark": [
                walked(rows[0], MEASURED),
                walked(rows[1], alone),
                walked(rows[2], "out of memory", False),
            ],
            "kernels": [walked("test_drawn", "E   off by 1", not fails), walked("test_well", "")],
            "roofline": ROOFLINE,
            "ladder": [walked("matmul_v1", 12.5), walked("conv_v1", "RuntimeError", False)],
            "cpu": [walked("lenet5", 9000)],
        }
        monkeypatch.setattr(
            gpu_check,
            "run_section",
            lambda section, seconds: {
                "seconds": 1.0,
                "passed": not (fails and section == "kernels"),
                "items": found.get(section, []),
            },
        )
        assert gpu_check.main([str(tmp_path)]) == int(fails)
        report = (tmp_path / "gpu_check.md").read_text()
        assert (
            "| lenet5, batch 128, fp32 | 2.00 | 1.5 | 3.0 | 0.500 | 1.000 | 256,000 | 128,000 | 9,000 | replayed |"
            in report
        )
        assert "| - (ImportError: no torch) | 1.0 | 1.5 | 0.500 | - | 256,000 | - | - | replayed |" in report
        assert "not measured: out of memory" in report
        assert "- passed: lenet5 learns: test accuracy 86%" in report
        assert "| matmul_v1 | one thread a result, rows side by side | 0.6% | 12.500 |" in report
        assert "| conv1 (x 2) | 64x1x28x28 | forward | 1.000 | 1.00 | 10 | 10% |" in report
        assert ("**failed**: test_drawn: E   off by 1" in report) == fails
        assert "test_well" not in report
        written = json.loads((tmp_path / "gpu_check.json").read_text())
        assert set(written["sections"]) == set(gpu_check.SECTIONS)
        assert (tmp_path / "roofline.png").stat().st_size > 10_000
        assert ("something failed" in capsys.readouterr().out) == fails

    def test_a_benchmark_without_pytorch_has_not_passed(self) -> None:
        result = {"passed": True, "note": "1 of 1 passed", "items": [walked("lenet5", MEASURED)]}
        assert gpu_check.complete("benchmark", result) == result
        alone = [walked("lenet5", {**MEASURED, "torch_problem": "ImportError: no torch"})]
        answer = gpu_check.complete("benchmark", {**result, "items": alone})
        assert not answer["passed"]
        assert "not measured in 1 of 1: ImportError: no torch" in answer["note"]

    def test_a_figure_that_cannot_be_drawn_costs_no_numbers(self, tmp_path: Path) -> None:
        results = {
            "machine": {"devices": ["cpu"]},
            "sections": {"roofline": {"items": [walked("peaks", "lost", False)]}},
        }
        assert "could not be drawn: ValueError: nothing was measured" in gpu_check.draw(results, tmp_path)

    def test_the_sections_fit_into_eight_minutes(self) -> None:
        assert gpu_check.TOTAL_SECONDS <= 480

    def test_a_section_that_does_not_start_is_reported(self) -> None:
        result = gpu_check.run_section("no such section", 60)
        assert not result["passed"]
        assert result["note"].endswith("exit status 1")
        assert "there is no section 'no such section'" in result["output"]


class TestRoofline:
    def test_layers_of_a_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_roofline, "SECONDS", 0.0)
        layers = {layer["layer"]: layer for layer in gpu_roofline.measure("lenet5", 2, "cpu")}
        assert list(layers) == [
            "conv1",
            "act1",
            "pool1",
            "conv2",
            "act2",
            "pool2",
            "fc1",
            "act3",
            "fc2",
            "act4",
            "fc3",
        ]
        conv = layers["conv2"]
        assert conv["forward"]["flops"] == 2 * 2 * 16 * 10 * 10 * 6 * 5 * 5
        assert conv["backward"]["flops"] == 2 * conv["forward"]["flops"]
        weights = 4 * (16 * 6 * 5 * 5 + 16)
        assert conv["forward"]["bytes"] == 4 * 2 * (6 * 14 * 14 + 16 * 10 * 10) + weights
        assert all(layer[way]["seconds"] > 0 for layer in layers.values() for way in ("forward", "backward"))

    def test_equal_layers_are_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gpu_roofline, "SECONDS", 0.0)
        monkeypatch.setattr(gpu_roofline.models, "build", lambda name, rng: two_alike(rng))
        layers = gpu_roofline.measure("lenet5", 2, "cpu")
        assert [(layer["layer"], layer["count"]) for layer in layers] == [("0", 2), ("1", 2)]

    def test_the_roof_is_the_lower_of_two(self) -> None:
        roofs = {"flops": 1e12, "bytes": 1e11}
        assert gpu_roofline.share({"flops": 5e11, "bytes": 1e6, "seconds": 1.0}, roofs) == 0.5
        assert gpu_roofline.share({"flops": 1e6, "bytes": 2e10, "seconds": 1.0}, roofs) == 0.2


def two_alike(rng: np.random.Generator) -> L.Sequential:
    convs = [L.Conv2d(1, 1, 3, padding=1, rng=rng) for _ in range(2)]
    return L.Sequential(convs[0], L.ReLU(), convs[1], L.ReLU())
