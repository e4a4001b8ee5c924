"""Replaying a recorded step does what computing it would: with a recorder that replays by computing again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minicnn import layers as L
from minicnn.kernels import emulated
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD
from minicnn.train.graph import WARM_UPS, StepGraph, step_for


class AgainRecorder:
    """Stands in for CUDA: a replay computes the step again, with what was frozen, into the recorded arrays."""

    def __init__(self, model: L.Layer) -> None:
        self.model = model
        self.recorded = 0

    def run(self, step: Callable[[], Any]) -> Any:
        return step()

    def record(self, step: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        frozen = self._offsets()
        results = step()
        grads = [parameter.grad for parameter in self.model.parameters()]
        self.recorded += 1

        def replay() -> None:
            for layer, offset in zip(self._dropouts(), frozen):
                layer.offset = offset
            self.model.zero_grad()
            for old, new in zip(results, step()):
                old[...] = new
            for old, parameter in zip(grads, self.model.parameters()):
                old[...] = parameter.grad

        return replay, results

    def counter(self) -> np.ndarray:
        return np.zeros(1, np.uint64)

    def _dropouts(self) -> list[Any]:
        return [layer for _, layer in self.model.named_layers() if isinstance(layer, L.Dropout)]

    def _offsets(self) -> list[int]:
        return [layer.offset for layer in self._dropouts()]


@pytest.fixture(autouse=True)
def cuda_kernels() -> Iterator[None]:
    """Only the CUDA kernel of dropout knows of replays."""
    with emulated():
        yield


def network(seed: int = 0) -> L.Sequential:
    rng = np.random.default_rng(seed)
    return L.Sequential(L.Linear(5, 8, rng=rng), L.ReLU(), L.Dropout(0.5, rng=rng), L.Linear(8, 3, rng=rng))


def batches(count: int, sizes: tuple[int, ...] = (6,)) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    lengths = [sizes[i % len(sizes)] for i in range(count)]
    return [(rng.standard_normal((n, 5), np.float32), rng.integers(0, 3, n)) for n in lengths]


def train(
    graph: bool, data: list[Any], between: Callable[[int, L.Layer], None] = lambda i, model: None
) -> Any:
    """(weights, losses, the graph) after a step for each batch."""
    model, loss = network(), CrossEntropyLoss()
    optimizer = SGD(model, lr=0.5, momentum=0.9)
    recorder = AgainRecorder(model)
    step = StepGraph(model, loss, recorder, required=True)
    if not graph:
        step = step._compute  # type: ignore[assignment]
    losses = []
    for i, (x, labels) in enumerate(data):
        between(i, model)
        optimizer.zero_grad()
        losses.append(float(step(x, labels)[0]))
        optimizer.step()
    return [parameter.value for parameter in model.parameters()], losses, step, recorder


def assert_same(one: Any, other: Any) -> None:
    assert one[1] == other[1]
    for a, b in zip(one[0], other[0]):
        np.testing.assert_array_equal(a, b)


def test_training_by_replays_gives_the_same_bits() -> None:
    data = batches(8)
    replayed = train(True, data)
    assert_same(replayed, train(False, data))
    assert replayed[2].replays == 8 - WARM_UPS
    assert replayed[3].recorded == 1


def test_every_size_of_batch_gets_a_graph_of_its_own() -> None:
    data = batches(12, sizes=(6, 6, 4))
    replayed = train(True, data)
    assert_same(replayed, train(False, data))
    assert replayed[3].recorded == 2


def test_a_dropout_that_is_set_back_is_recorded_anew() -> None:
    def rewind(i: int, model: L.Layer) -> None:
        if i == 5:
            model[2].offset = 0  # type: ignore[index]

    data = batches(8)
    replayed = train(True, data, rewind)
    assert_same(replayed, train(False, data, rewind))
    assert replayed[3].recorded == 2


def test_freezing_is_seen() -> None:
    def freeze(i: int, model: L.Layer) -> None:
        if i == 4:
            model[0].freeze()  # type: ignore[index]

    data = batches(9)
    assert_same(train(True, data, freeze), train(False, data, freeze))


class Refuses(AgainRecorder):
    def record(self, step: Callable[[], Any]) -> Any:
        step()
        raise RuntimeError("a number was looked at")


@pytest.mark.parametrize("required", [False, True])
def test_a_step_that_cannot_be_recorded(required: bool) -> None:
    model = network()
    step = StepGraph(model, CrossEntropyLoss(), Refuses(model), required)
    data = batches(WARM_UPS + 2)
    for x, labels in data[:WARM_UPS]:
        model.zero_grad()
        step(x, labels)
    model.zero_grad()
    if required:
        with pytest.raises(RuntimeError, match="looked at"):
            step(*data[WARM_UPS])
        return
    loss, _ = step(*data[WARM_UPS])
    gradients = [parameter.grad for parameter in model.parameters()]
    assert str(step.problem) == "a number was looked at"
    assert model[2].offset == WARM_UPS + 1
    # Computed once, not twice: as a model without a graph has it at this step.
    other = network()
    other[2].offset = WARM_UPS
    plain = StepGraph(other, CrossEntropyLoss(), AgainRecorder(other))._compute(*data[WARM_UPS])
    assert float(loss) == float(plain[0])
    for gradient, parameter in zip(gradients, other.parameters()):
        np.testing.assert_array_equal(gradient, parameter.grad)


def test_there_is_none_on_a_cpu() -> None:
    assert step_for(network(), CrossEntropyLoss(), "auto") is None
