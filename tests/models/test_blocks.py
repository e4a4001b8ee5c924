"""Every block against the gradient checker, in training and evaluation; the families too, which takes longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minicnn import models
from minicnn.gradcheck import check_layer, check_model
from minicnn.gradcheck.report import Verdict
from minicnn.layers import BatchNorm2d, Checkpoint, Conv2d, DenseConcat, Layer, Linear, Sequential
from minicnn.losses import CrossEntropyLoss, WithAuxiliary
from minicnn.models.densenet import dense_layer, densenet, transition
from minicnn.models.googlenet import Renormalise, auxiliary_head, basic_conv, inception
from minicnn.models.resnet import BasicBlock, Bottleneck, resnet
from minicnn.models.resnet_cifar import SubsamplingShortcut

Build = Callable[[np.random.Generator], Layer]


def projection(channels: int, out_channels: int, rng: np.random.Generator) -> Layer:
    return Sequential(Conv2d(channels, out_channels, 1, 2, bias=False, rng=rng), BatchNorm2d(out_channels))


def dense_block(rng: np.random.Generator) -> Layer:
    layers = {f"denselayer{i + 1}": dense_layer(4 + 2 * i, 2, 2, 0.0, rng) for i in range(2)}
    return DenseConcat(layers)


BLOCKS: dict[str, tuple[Build, tuple[int, ...]]] = {
    "basic": (lambda rng: BasicBlock(4, 4, rng=rng), (2, 4, 5, 5)),
    "basic-projection": (lambda rng: BasicBlock(3, 4, 2, projection(3, 4, rng), rng=rng), (2, 3, 6, 6)),
    "basic-padding": (lambda rng: BasicBlock(3, 6, 2, SubsamplingShortcut(6, 2), rng=rng), (2, 3, 6, 6)),
    "bottleneck": (lambda rng: Bottleneck(8, 2, rng=rng), (2, 8, 5, 5)),
    "bottleneck-projection": (lambda rng: Bottleneck(4, 2, 2, projection(4, 8, rng), rng=rng), (2, 4, 6, 6)),
    "bottleneck-checkpoint": (lambda rng: Checkpoint(Bottleneck(8, 2, rng=rng)), (2, 8, 5, 5)),
    "subsampling": (lambda rng: SubsamplingShortcut(5, 2), (2, 3, 5, 5)),
    "conv-norm-relu": (lambda rng: basic_conv(3, 4, 3, rng, padding=1), (2, 3, 5, 5)),
    "inception": (lambda rng: inception(3, (2, 1, 2, 1, 2, 1), rng), (2, 3, 4, 4)),
    "auxiliary": (lambda rng: auxiliary_head(4, 3, 0.5, 1 / 64, rng), (2, 4, 6, 6)),
    "renormalise": (lambda rng: Renormalise(), (2, 3, 4, 4)),
    "dense-layer": (lambda rng: dense_layer(4, 2, 2, 0.3, rng), (2, 4, 5, 5)),
    "dense-block": (dense_block, (2, 4, 4, 4)),
    "transition": (lambda rng: transition(4, 2, rng), (2, 4, 6, 6)),
}


def small(name: str, **options: Any) -> Build:
    return lambda rng: models.build(name, num_classes=3, rng=rng, **options)


def short_resnet(rng: np.random.Generator) -> Layer:
    return resnet(Bottleneck, (1, 1, 1, 1), 3, width=1 / 16, rng=rng)


def short_densenet(rng: np.random.Generator) -> Layer:
    return densenet(2, (2, 1), 4, 3, small_images=True, rng=rng)


# One member a family, as small as it can be and still have all of its parts.
NETWORKS: dict[str, tuple[Build, int]] = {
    "alexnet": (small("alexnet", width=1 / 32), 63),
    "vgg11": (small("vgg11", width=1 / 32, small_images=True), 32),
    "vgg11_bn": (small("vgg11_bn", width=1 / 32, small_images=True), 32),
    "googlenet": (small("googlenet", width=1 / 16), 64),
    "resnet18": (small("resnet18", width=1 / 16, small_images=True), 16),
    "resnet-bottlenecks": (short_resnet, 32),
    "densenet": (short_densenet, 8),
    "resnet20": (small("resnet20", width=1 / 4), 16),
    "plain20": (small("plain20", width=1 / 4), 16),
}
LONG = ("googlenet", "resnet-bottlenecks")  # minutes each
both_modes = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def randomised(model: Layer, rng: np.random.Generator) -> Layer:
    """Batch norm's weights and statistics are not those it starts with, and signals reach the end.

    Its biases and means have both signs: with large biases no ReLU is at work, and a batch norm that follows takes
    them out again; with large means every ReLU is closed. Either way gradients are zero, which tells nothing.
    torchvision's N(0, 0.01²) is made for layers of thousands; in networks this narrow it lets the logits vanish, and
    differences with them: the checker then says that it cannot tell.
    """
    for _, layer in model.leaves():
        if isinstance(layer, (Conv2d, Linear)):
            fan_in = layer.weight.size // layer.weight.shape[0]
            layer.weight.value[...] = rng.normal(0, np.sqrt(2 / fan_in), layer.weight.shape)
        if isinstance(layer, BatchNorm2d):
            for holder in (layer.weight, layer.running_var):
                holder.value[...] = rng.uniform(0.5, 1.5, holder.value.shape)
            for holder in (layer.bias, layer.running_mean):
                holder.value[...] = rng.uniform(-0.5, 0.5, holder.value.shape)
    return model


@both_modes
@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_passes_the_gradient_checker(name: str, training: bool) -> None:
    build, x_shape = BLOCKS[name]
    rng = np.random.default_rng(3)
    block = randomised(build(rng), rng).train(training)
    report = check_layer(block, rng.standard_normal(x_shape), name=name)
    assert report.verdict is Verdict.PASS, str(report)


@pytest.mark.slow
@both_modes
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in NETWORKS]
)
def test_a_small_network_of_every_family_passes_the_gradient_checker(name: str, training: bool) -> None:
    build, side = NETWORKS[name]
    rng = np.random.default_rng(3)
    model = randomised(build(rng), rng).train(training)
    x, labels = rng.standard_normal((3, 3, side, side)), np.array([0, 2, 1])
    report = check_model(model, WithAuxiliary(CrossEntropyLoss(), 0.3), x, labels, name=name)
    assert report.verdict is Verdict.PASS, str(report)
