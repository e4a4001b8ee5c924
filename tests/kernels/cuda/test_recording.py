"""A training step holds nothing that CuPy refuses to record in a CUDA graph: tried on a stand-in that refuses the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minicnn import layers as L
from minicnn import models
from minicnn.backend import to_device
from minicnn.kernels import using
from minicnn.kernels.cuda_calls import launch
from minicnn.losses import CrossEntropyLoss
from minicnn.train.graph import WARM_UPS, StepGraph
from tests.support import fake_cupy


class Recorder:
    """Computes a step as it is recorded: with what a recording forbids forbidden."""

    def run(self, step: Callable[[], Any]) -> Any:
        return step()

    def record(self, step: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        with fake_cupy.capturing():
            results = step()
        return lambda: None, results

    def counter(self) -> Any:
        return to_device(np.zeros(1, np.uint64), "cuda")


@pytest.fixture(autouse=True)
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make())
    launch.load.cache_clear()
    yield
    launch.load.cache_clear()


def record(model: L.Layer, shape: tuple[int, ...], algorithm: str = "auto") -> StepGraph:
    rng = np.random.default_rng(0)
    x = to_device(rng.standard_normal(shape).astype(np.float32), "cuda")
    labels = to_device(rng.integers(0, 10, shape[0]), "cuda")
    graph = StepGraph(model.to("cuda").train(), CrossEntropyLoss(), Recorder(), required=True)
    with using(algorithm):
        for _ in range(WARM_UPS + 2):
            graph(x, labels)
    return graph


@pytest.mark.parametrize("algorithm", ["auto", pytest.param("tf32", marks=pytest.mark.slow)])
def test_lenet5(algorithm: str) -> None:
    model = models.lenet5(rng=np.random.default_rng(0))
    assert record(model, (2, 1, 28, 28), algorithm).replays == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("convnet3", (2, 3, 32, 32), {}),
        ("resnet18", (2, 3, 32, 32), {"width": 1 / 16, "num_classes": 10}),
    ],
)
def test_networks(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    model = models.build(name, rng=np.random.default_rng(0), **options)
    assert record(model, shape).replays == 2


def test_cublas_cannot_be_recorded() -> None:
    """What the tests above rest on."""
    model = L.Sequential(L.Linear(5, 10, rng=np.random.default_rng(0)))
    with pytest.raises(NotImplementedError, match="cuBLAS"):
        record(model, (2, 5), "direct")
