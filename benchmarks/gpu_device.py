"""What must hold on a real GPU, with arrays that live there: part of make gpu-check.

Each check is a function without arguments that returns what it found, in words, and raises where it does
not hold. The kernels themselves are tested by the emulator's tests, which make gpu-check runs on the GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import from_checkout  # noqa: F401  (first: it makes minicnn.kernels importable)
from minicnn import data, losses, models, optim, train
from minicnn.backend import to_device, to_numpy
from minicnn.errors import LabelError
from minicnn.kernels import explain
from minicnn.losses import CrossEntropyLoss
from tests.layers.cases import CASES

DEVICE = "cuda"  # "cpu" runs the same checks there, as the tests do


def every_layer_agrees_with_the_cpu() -> str:
    """float64: output, dx and every gradient of every layer of the contract suite."""
    worst, name = 0.0, ""
    for case in CASES:
        outcomes = []
        for device in ("cpu", DEVICE):
            layer = case.layer(np.float64).to(device)
            x = case.x(np.float64)
            y = layer(to_device(x, device))
            dx = layer.backward(to_device(case.dy(to_numpy(y)), device))
            outcomes.append([y, dx, *(parameter.grad for parameter in layer.parameters())])
        for a, b in zip(*outcomes):
            a, b = to_numpy(a), to_numpy(b)
            error = float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-3))
            if not error < 1e-9:
                raise AssertionError(f"{case.name}: off by {error:.1e}")
            worst, name = max((worst, name), (error, case.name))
    return f"{len(CASES)} layers, largest relative difference {worst:.1e} ({name})"


def gradients_in_float64() -> str:
    """Central differences on the device: along random directions, for every layer's x and parameters."""
    rng, worst = np.random.default_rng(0), 0.0
    for case in CASES:
        layer, x = case.layer(np.float64).to(DEVICE), to_device(case.x(np.float64), DEVICE)
        y = _forward(layer, x)
        v = to_device(rng.standard_normal(y.shape), DEVICE)
        dx = layer.backward(v)
        holders = list(layer.parameters())
        gradients = [dx, *(holder.grad for holder in holders)]
        for index, gradient in enumerate(gradients):
            direction = to_device(rng.standard_normal(gradient.shape), DEVICE)
            slopes = []
            for sign in (1e-5, -1e-5):
                if index == 0:
                    slopes.append(float((v * _forward(layer, x + sign * direction)).sum()))
                    continue
                value = holders[index - 1].value
                kept = value.copy()
                value += sign * direction
                slopes.append(float((v * _forward(layer, x)).sum()))
                value[...] = kept
            numeric, claimed = (slopes[0] - slopes[1]) / 2e-5, float((gradient * direction).sum())
            scale = max(float(abs(gradient).max()) * gradient.size**0.5, 1e-2)
            if not abs(numeric - claimed) < 1e-5 * scale:
                raise AssertionError(
                    f"{case.name}, array {index}: backward says {claimed}, differences {numeric}"
                )
            worst = max(worst, abs(numeric - claimed) / scale)
    return f"{len(CASES)} layers, largest deviation {worst:.1e}"


def _forward(layer: Any, x: Any) -> Any:
    for _, each in layer.named_layers():
        if hasattr(each, "offset"):
            each.offset = 0  # dropout draws the same mask again
    return layer(x)


def kernels_are_taken() -> str:
    """LeNet-5 takes no definition, but for what has no kernel."""
    model = models.lenet5(rng=np.random.default_rng(0)).to(DEVICE)
    choices = explain(model, to_device(np.zeros((8, 1, 28, 28), np.float32), DEVICE))
    if DEVICE == "cuda" and any(choice.module is None for choice in choices):
        raise AssertionError("; ".join(map(str, choices)))
    return ", ".join(f"{choice.operation}: {choice.algorithm}" for choice in choices)


def _train(epochs: int, graph: bool | str, model_name: str = "lenet5") -> tuple[Any, float, int]:
    """(the model, its test accuracy, steps replayed) after training on the embedded images."""
    model_rng, split_rng, order_rng = np.random.default_rng(0).spawn(3)
    bundle = data.load("fashion-mnist-mini", input_shape=models.architecture(model_name).input_shape)
    training, validation = bundle.train.split(0.1, rng=split_rng)
    model = models.build(model_name, rng=model_rng, in_channels=bundle.preprocessing.channels).to(DEVICE)
    trainer = train.Trainer(model, losses.CrossEntropyLoss(), optim.Adam(model, lr=2e-3), graph=graph)
    trainer.fit(data.Loader(training, 64, shuffle=True, rng=order_rng), validation, epochs=epochs)
    replays = trainer._step_graph.replays if trainer._step_graph is not None else 0
    return model, trainer.evaluate(bundle.test).accuracy, replays


def lenet5_learns() -> str:
    """The CPU's accuracy on the embedded images, 86% after ten epochs, give or take two points."""
    _, accuracy, replays = _train(10, "auto")
    if accuracy < 0.84:
        raise AssertionError(f"test accuracy {accuracy:.1%}, expected 84% or more")
    return f"test accuracy {accuracy:.1%}, {replays} steps replayed as a graph"


def the_same_seed_gives_the_same_weights() -> str:
    """Twice, bit for bit; convnet3, since it has dropout."""
    first, second = (_train(1, "auto", "convnet3")[0].state_dict() for _ in range(2))
    for name, value in first.items():
        if not np.array_equal(to_numpy(value), to_numpy(second[name])):
            raise AssertionError(f"{name} differs")
    return f"{len(first)} arrays, every bit"


def a_graph_computes_what_single_launches_do() -> str:
    """Bit for bit, dropout's masks included."""
    (graph, _, replays), (single, _, _) = _train(1, "auto", "convnet3"), _train(1, False, "convnet3")
    for name, value in graph.state_dict().items():
        if not np.array_equal(to_numpy(value), to_numpy(single.state_dict()[name])):
            raise AssertionError(f"{name} differs")
    if DEVICE == "cuda" and replays == 0:
        raise AssertionError("no step was replayed: every one was computed launch by launch")
    return f"{replays} steps replayed"


def labels_out_of_range_are_seen() -> str:
    """The loss is NaN; a kernel cannot raise. On a CPU a LabelError says which it is."""
    logits = to_device(np.zeros((4, 3), np.float32), DEVICE)
    try:
        loss = CrossEntropyLoss().forward(logits, to_device(np.array([0, 1, 2, 3]), DEVICE))
    except LabelError as error:
        return str(error)
    if not np.isnan(float(loss)):
        raise AssertionError(f"the loss is {float(loss)}")
    return "the loss is NaN"


CHECKS = (
    kernels_are_taken,
    every_layer_agrees_with_the_cpu,
    gradients_in_float64,
    labels_out_of_range_are_seen,
    a_graph_computes_what_single_launches_do,
    the_same_seed_gives_the_same_weights,
    lenet5_learns,
)
