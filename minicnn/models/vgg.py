"""VGG-11, 13, 16 and 19, with and without batch normalisation.

Simonyan & Zisserman 2015, "Very deep convolutional networks for large-scale image recognition",
table 1, columns A, B, D and E.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from minicnn.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Checkpoint,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.models.blocks import generator, he_normal, initialise, normal, scaled

# How many 3x3 convolutions stand before each of the five poolings, and how wide they are.
CHANNELS = (64, 128, 256, 512, 512)
TABLE = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}


def vgg(
    column: str,
    batch_norm: bool,
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    small_images: bool = False,
    width: float = 1.0,
    checkpoint_blocks: bool = False,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """The network of one column of the paper's table 1.

        stage     output, from a 224x224 image     A   B   D   E
        1          64 @ 112x112                    1   2   2   2   convolutions 3x3, padding 1,
        2         128 @  56x56                     1   2   2   2   each with ReLU, then
        3         256 @  28x28                     2   2   3   4   max pooling 2x2
        4         512 @  14x14                     2   2   3   4
        5         512 @   7x7                      2   2   3   4
        avgpool   512 @   7x7                      adaptive: the identity at 224x224
        fc        4096, 4096, num_classes          dropout after the first two

    x (N, in_channels, H, W), H and W from 32 -> logits (N, num_classes). small_images=True is for
    32x32: the last stage is 512 @ 1x1 there, and the hidden layers have 512 units instead of 4096.
    width multiplies all channels and hidden units. checkpoint_blocks=True keeps only the input of
    each stage and computes the stage again in backward. Initialised as in torchvision: He normal by
    fan-out for convolutions, N(0, 0.01²) for linear layers, biases 0.
    """
    rng = generator(rng)
    stages: list[list[Layer]] = []
    channels = in_channels
    for count, stage_channels in zip(TABLE[column], CHANNELS):
        stage: list[Layer] = []
        for _ in range(count):
            out_channels = scaled(stage_channels, width)
            stage.append(Conv2d(channels, out_channels, 3, padding=1, rng=rng))
            stage += [BatchNorm2d(out_channels), ReLU()] if batch_norm else [ReLU()]
            channels = out_channels
        stages.append([*stage, MaxPool2d(2)])

    side = 1 if small_images else 7
    hidden = scaled(512 if small_images else 4096, width)
    classifier = Sequential(
        Linear(channels * side * side, hidden, rng=rng), ReLU(), Dropout(dropout, rng=rng),
        Linear(hidden, hidden, rng=rng), ReLU(), Dropout(dropout, rng=rng),
        Linear(hidden, num_classes, rng=rng),
    )  # fmt: skip
    model = Sequential(
        features=_checkpointed(stages) if checkpoint_blocks else Sequential(*chain(*stages)),
        avgpool=AdaptiveAvgPool2d(side),
        flatten=Flatten(),
        classifier=classifier,
    )
    initialise(model, conv=he_normal(rng, "fan_out"), linear=normal(rng, 0.01), zero_bias="conv linear")
    return model


class _Stages(Sequential):
    """Stages without names of their own: the layers in them bear the numbers they have without stages."""

    def children(self) -> Iterator[tuple[str, Layer]]:
        return (("", stage) for _, stage in super().children())


def _checkpointed(stages: list[list[Layer]]) -> Sequential:
    numbers = iter(range(sum(map(len, stages))))
    return _Stages(
        *(Checkpoint(Sequential({str(next(numbers)): layer for layer in stage})) for stage in stages)
    )


def vgg11(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """Column A: 11 layers with weights, 132,863,336 parameters. Options: those of vgg.vgg."""
    return vgg("A", False, num_classes, in_channels, **options)


def vgg13(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """Column B: 13 layers with weights, 133,047,848 parameters. Options: those of vgg.vgg."""
    return vgg("B", False, num_classes, in_channels, **options)


def vgg16(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """Column D: 16 layers with weights, 138,357,544 parameters. Options: those of vgg.vgg."""
    return vgg("D", False, num_classes, in_channels, **options)


def vgg19(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """Column E: 19 layers with weights, 143,667,240 parameters. Options: those of vgg.vgg."""
    return vgg("E", False, num_classes, in_channels, **options)


def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """vgg11 with batch norm after every convolution, 132,868,840 parameters. Options: those of vgg.vgg."""
    return vgg("A", True, num_classes, in_channels, **options)


def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """vgg13 with batch norm after every convolution, 133,053,736 parameters. Options: those of vgg.vgg."""
    return vgg("B", True, num_classes, in_channels, **options)


def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """vgg16 with batch norm after every convolution, 138,365,992 parameters. Options: those of vgg.vgg."""
    return vgg("D", True, num_classes, in_channels, **options)


def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """vgg19 with batch norm after every convolution, 143,678,248 parameters. Options: those of vgg.vgg."""
    return vgg("E", True, num_classes, in_channels, **options)
