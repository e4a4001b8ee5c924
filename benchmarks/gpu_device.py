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

RESNET_ON_CPU = 0.799  # test accuracy of _train(2, ..., "resnet18") with DEVICE = "cpu"
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
    shape = (3, 32, 32) if model_name == "resnet18" else models.architecture(model_name).input_shape
    bundle = data.load("fashion-mnist-mini", input_shape=shape)
    training, validation = bundle.train.split(0.1, rng=split_rng)
    options = {"in_channels": bundle.preprocessing.channels, "num_classes": 10}
    model = models.build(model_name, rng=model_rng, **options).to(DEVICE)
    rate = 1e-3 if model_name == "resnet18" else 2e-3
    trainer = train.Trainer(model, losses.CrossEntropyLoss(), optim.Adam(model, lr=rate), graph=graph)
    trainer.fit(data.Loader(training, 64, shuffle=True, rng=order_rng), validation, epochs=epochs)
    replays = trainer._step_graph.replays if trainer._step_graph is not None else 0
    return model, trainer.evaluate(bundle.test).accuracy, replays


def lenet5_learns() -> str:
    """The CPU's accuracy on the embedded images, 86% after ten epochs, give or take two points."""
    _, accuracy, replays = _train(10, "auto")
    if accuracy < 0.84:
        raise AssertionError(f"test accuracy {accuracy:.1%}, expected 84% or more")
    return f"test accuracy {accuracy:.1%}, {replays} steps replayed as a graph"


def resnet18_learns() -> str:
    """The CPU's accuracy on the embedded images in 32x32, RESNET_ON_CPU after two epochs, give or take four points."""
    _, accuracy, replays = _train(2, "auto", "resnet18")
    if accuracy < RESNET_ON_CPU - 0.04:
        raise AssertionError(f"test accuracy {accuracy:.1%}, the CPU's is {RESNET_ON_CPU:.1%}")
    return f"test accuracy {accuracy:.1%} (the CPU's is {RESNET_ON_CPU:.1%}), {replays} steps replayed as a graph"


def the_same_seed_gives_the_same_weights() -> str:
    """Twice, bit for bit; convnet3, since it has dropout, and ResNet-18, since it has batch norm and cuBLAS."""
    count = 0
    for model in ("convnet3", "resnet18"):
        first, second = (_train(1, "auto", model)[0].state_dict() for _ in range(2))
        for name, value in first.items():
            if not np.array_equal(to_numpy(value), to_numpy(second[name])):
                raise AssertionError(f"{model}: {name} differs")
        count += len(first)
    return f"{count} arrays, every bit"


def a_graph_computes_what_single_launches_do() -> str:
    """Bit for bit, dropout's masks included."""
    (graph, _, replays), (single, _, _) = _train(1, "auto", "convnet3"), _train(1, False, "convnet3")
    for name, value in graph.state_dict().items():
        if not np.array_equal(to_numpy(value), to_numpy(single.state_dict()[name])):
            raise AssertionError(f"{name} differs")
    if DEVICE == "cuda" and replays == 0:
        raise AssertionError("no step was replayed: every one was computed launch by launch")
    return f"{replays} steps replayed"


def every_kernel_once() -> str:
    """Small, for compute-sanitizer, under which everything is slow."""
    from minicnn.kernels.cuda_calls import implicit_conv2d
    from tests.kernels.cuda import agreement, test_agreement, test_updates
    from tests.support.strategies import ConvConfig, PoolConfig

    options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    chosen = implicit_conv2d.tile_for
    try:
        for name in ("FLAT", "MIDDLE", "LARGE", "TF32", "TF32_LARGE", "im2col"):
            config = ConvConfig((2, 6, 9, 8), (18, 3, 3, 3), True, options, seed=7)
            tile = getattr(implicit_conv2d, name, None)
            implicit_conv2d.tile_for = lambda *_, tile=tile: tile  # type: ignore[assignment]
            algorithm = "im2col" if name == "im2col" else "tf32" if "TF32" in name else "implicit"
            agreement.conv2d(config, algorithm)
    finally:
        implicit_conv2d.tile_for = chosen
    for kind in ("max", "avg"):
        agreement.pool(kind, PoolConfig((2, 2, 7, 8), 3, {"stride": (2, 1), "padding": 1}, seed=4))
    agreement.batch_norm2d((4, 3, 11, 13), True, False, True, True, seed=5)
    for algorithm in ("direct", "tiled", "tf32"):
        test_agreement.TestLinear().agrees(algorithm, (5, 150, 7), True, True, seed=1)
    test_agreement.TestElementwise().test_extremes()
    test_agreement.TestCrossEntropy().test_scores_far_from_zero()
    for rule in test_updates.RULES:
        test_updates.check_rule(rule)
    return "convolution by every tile, pooling, batch norm, linear, activations, cross entropy, updates"


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
    resnet18_learns,
)
