"""The networks by name: what `models.build` and the `minicnn` command know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, nearest
from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss, Loss, WithAuxiliary
from minicnn.models import densenet, resnet, resnet_cifar, vgg
from minicnn.models.alexnet import alexnet
from minicnn.models.convnet3 import convnet3
from minicnn.models.googlenet import googlenet
from minicnn.models.lenet import lenet5


class Architecture(NamedTuple):
    """One network: how to build it and what it takes."""

    builder: Callable[..., Layer]
    input_shape: tuple[int, int, int]  # (C, H, W) of the images it is made for
    description: str
    auxiliary_outputs: bool = False  # in training it gives several outputs, for losses.WithAuxiliary


IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)

ARCHITECTURES: dict[str, Architecture] = {
    "lenet5": Architecture(lenet5, (1, 28, 28), "LeCun et al. 1998, with ReLU and max pooling"),
    "convnet3": Architecture(convnet3, CIFAR, "three 3x3 convolutions and dropout"),
    "resnet20": Architecture(resnet_cifar.resnet20, CIFAR, "He et al. 2015, section 4.2"),
    "resnet56": Architecture(resnet_cifar.resnet56, CIFAR, "the same, deeper"),
    "plain20": Architecture(resnet_cifar.plain20, CIFAR, "resnet20 without shortcuts"),
    "plain56": Architecture(resnet_cifar.plain56, CIFAR, "resnet56 without shortcuts"),
    "alexnet": Architecture(alexnet, IMAGENET, "Krizhevsky 2014, one column"),
    "vgg11": Architecture(vgg.vgg11, IMAGENET, "Simonyan & Zisserman 2015, column A"),
    "vgg13": Architecture(vgg.vgg13, IMAGENET, "column B"),
    "vgg16": Architecture(vgg.vgg16, IMAGENET, "column D"),
    "vgg19": Architecture(vgg.vgg19, IMAGENET, "column E"),
    "vgg11_bn": Architecture(vgg.vgg11_bn, IMAGENET, "column A with batch norm"),
    "vgg13_bn": Architecture(vgg.vgg13_bn, IMAGENET, "column B with batch norm"),
    "vgg16_bn": Architecture(vgg.vgg16_bn, IMAGENET, "column D with batch norm"),
    "vgg19_bn": Architecture(vgg.vgg19_bn, IMAGENET, "column E with batch norm"),
    "googlenet": Architecture(googlenet, IMAGENET, "Szegedy et al. 2015, with batch norm", True),
    "resnet18": Architecture(resnet.resnet18, IMAGENET, "He et al. 2015, basic blocks"),
    "resnet34": Architecture(resnet.resnet34, IMAGENET, "basic blocks"),
    "resnet50": Architecture(resnet.resnet50, IMAGENET, "bottlenecks, stride on the 3x3"),
    "resnet101": Architecture(resnet.resnet101, IMAGENET, "bottlenecks"),
    "resnet152": Architecture(resnet.resnet152, IMAGENET, "bottlenecks"),
    "densenet121": Architecture(densenet.densenet121, IMAGENET, "Huang et al. 2017, growth rate 32"),
    "densenet161": Architecture(densenet.densenet161, IMAGENET, "growth rate 48"),
    "densenet169": Architecture(densenet.densenet169, IMAGENET, "growth rate 32"),
    "densenet201": Architecture(densenet.densenet201, IMAGENET, "growth rate 32"),
}


def architecture(name: str) -> Architecture:
    """The entry of that name. Raises ConfigError with the nearest match when there is none."""
    if name not in ARCHITECTURES:
        raise ConfigError(f"unknown model {name!r}: {nearest(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(name: str, *, rng: np.random.Generator | None = None, **options: Any) -> Layer:
    """The network of that name with fresh weights from `rng`.

    options are those of its builder: num_classes, in_channels, and what its docstring lists.
    Raises ConfigError for an unknown name (with the nearest match) or option.
    """
    builder = architecture(name).builder
    try:
        return builder(rng=rng, **options)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}; see help(minicnn.models.{name}) for its options") from error


def loss_for(name: str, loss: Loss | None = None) -> Loss:
    """The loss (default: cross entropy) for a network of that name: of its auxiliary heads too, where it has them."""
    loss = CrossEntropyLoss() if loss is None else loss
    return WithAuxiliary(loss, 0.3) if architecture(name).auxiliary_outputs else loss
