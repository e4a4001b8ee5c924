"""DenseNet-121, 161, 169 and 201.

Huang, Liu, van der Maaten & Weinberger 2017, "Densely connected convolutional networks", table 1,
the variant with bottlenecks and compression (DenseNet-BC).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    DenseConcat,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.models.blocks import checkpointed, generator, he_normal, initialise, scaled


def dense_layer(
    in_channels: int, growth_rate: int, bn_size: int, drop_rate: float, rng: np.random.Generator
) -> Sequential:
    """H_l of section 3: batch norm, ReLU, 1x1 to bn_size k channels, batch norm, ReLU, 3x3 to k."""
    inside = bn_size * growth_rate
    layers: dict[str, Layer] = {
        "norm1": BatchNorm2d(in_channels),
        "relu1": ReLU(),
        "conv1": Conv2d(in_channels, inside, 1, bias=False, rng=rng),
        "norm2": BatchNorm2d(inside),
        "relu2": ReLU(),
        "conv2": Conv2d(inside, growth_rate, 3, padding=1, bias=False, rng=rng),
    }
    if drop_rate > 0:
        layers["drop"] = Dropout(drop_rate, rng=rng)
    return Sequential(layers)


def transition(in_channels: int, out_channels: int, rng: np.random.Generator) -> Sequential:
    """Between two dense blocks: fewer channels by 1x1, half the height and width by pooling."""
    return Sequential(
        norm=BatchNorm2d(in_channels),
        relu=ReLU(),
        conv=Conv2d(in_channels, out_channels, 1, bias=False, rng=rng),
        pool=AvgPool2d(2),
    )


def densenet(
    growth_rate: int,
    block_config: tuple[int, ...],
    num_init_features: int,
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    bn_size: int = 4,
    drop_rate: float = 0.0,
    small_images: bool = False,
    width: float = 1.0,
    checkpoint_blocks: bool = False,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """Dense blocks, in which every layer sees the features of all before it, with transitions between.

        stage         height x width, from 224x224    121 161 169 201
        conv0         112x112                         7x7, stride 2, batch norm, ReLU
        pool0          56x56                          3x3, stride 2
        denseblock1    56x56                            6   6   6   6   layers, each of which adds
        transition1    28x28                                            k channels (the growth rate:
        denseblock2    28x28                           12  12  12  12   48 in 161, else 32);
        transition2    14x14                                            a transition halves them
        denseblock3    14x14                           24  36  32  48
        transition3     7x7
        denseblock4     7x7                            16  24  32  32
        norm5, classifier                             batch norm, ReLU, global average, num_classes

    x (N, in_channels, H, W) -> logits (N, num_classes). drop_rate: dropout after every layer.
    small_images=True is for 32x32: conv0 is 3x3 with stride 1, and there is no pool0. width multiplies
    the growth rate and the first channels. checkpoint_blocks=True keeps of every dense layer nothing
    but what all share and computes the layer again in backward. Initialised as in torchvision:
    He normal by fan-in, the classifier's bias 0.
    """
    rng = generator(rng)
    growth_rate = scaled(growth_rate, width)
    channels = scaled(num_init_features, width)
    features: dict[str, Layer] = {
        "conv0": Conv2d(in_channels, channels, 3, padding=1, bias=False, rng=rng)
        if small_images
        else Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False, rng=rng),
        "norm0": BatchNorm2d(channels),
        "relu0": ReLU(),
    }
    if not small_images:
        features["pool0"] = MaxPool2d(3, stride=2, padding=1)
    for number, count in enumerate(block_config, start=1):
        block: dict[str, Layer] = {}
        for index in range(count):
            layer = dense_layer(channels, growth_rate, bn_size, drop_rate, rng)
            block[f"denselayer{index + 1}"] = checkpointed(layer, checkpoint_blocks)
            channels += growth_rate
        features[f"denseblock{number}"] = DenseConcat(block)
        if number < len(block_config):
            features[f"transition{number}"] = transition(channels, channels // 2, rng)
            channels //= 2
    features["norm5"] = BatchNorm2d(channels)

    model = Sequential(
        features=Sequential(features),
        relu=ReLU(),
        avgpool=AdaptiveAvgPool2d(1),
        flatten=Flatten(),
        classifier=Linear(channels, num_classes, rng=rng),
    )
    initialise(model, conv=he_normal(rng, "fan_in"), zero_bias="linear")
    return model


def densenet121(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """121 layers with weights, growth rate 32, 7,978,856 parameters. Options: those of densenet.densenet."""
    return densenet(32, (6, 12, 24, 16), 64, num_classes, in_channels, **options)


def densenet161(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """161 layers with weights, growth rate 48, 28,681,000 parameters. Options: those of densenet.densenet."""
    return densenet(48, (6, 12, 36, 24), 96, num_classes, in_channels, **options)


def densenet169(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """169 layers with weights, growth rate 32, 14,149,480 parameters. Options: those of densenet.densenet."""
    return densenet(32, (6, 12, 32, 32), 64, num_classes, in_channels, **options)


def densenet201(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """201 layers with weights, growth rate 32, 20,013,928 parameters. Options: those of densenet.densenet."""
    return densenet(32, (6, 12, 48, 32), 64, num_classes, in_channels, **options)
