"""ResNet-18, 34, 50, 101 and 152.

He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", table 1. The bottleneck's
stride stands on its 3x3 convolution (Goyal et al. 2017, "Accurate, large minibatch SGD", sec. 5.1),
where torchvision and its published weights have it, and not on the first 1x1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.layers.residual import residual_backward, residual_forward
from minicnn.models.blocks import (
    checkpointed,
    generator,
    he_normal,
    initialise,
    scaled,
)


class ResidualBlock(Layer):
    """y = relu(body(x) + shortcut(x))  (eq. 1; eq. 2 where the shortcut projects).

    A subclass makes the layers of its body, `relu`, and `downsample`: the shortcut, None for the identity.
    """

    can_skip_dx = True
    expansion: int  # output channels for every channel of the block
    order: tuple[str, ...]  # of the body's layers
    relu: ReLU
    downsample: Layer | None

    def body(self) -> list[tuple[str, Layer]]:
        """The layers of the body with their names, in order."""
        return [(name, getattr(self, name)) for name in self.order]

    def forward(self, x: Array) -> Array:
        return residual_forward(self.body(), self.downsample, self.relu, x)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        body = [layer for _, layer in self.body()]
        return residual_backward(body, self.downsample, self.relu, dy, need_dx)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions, C channels each (fig. 5, left)."""

    expansion = 1
    order = ("conv1", "bn1", "relu1", "conv2", "bn2")

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: Layer | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self.conv1 = Conv2d(in_channels, channels, 3, stride, padding=1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(channels)
        self.relu1 = ReLU()
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(channels)
        self.downsample = downsample
        self.relu = ReLU()


class Bottleneck(ResidualBlock):
    """1x1 down to C channels, 3x3, 1x1 up to 4 C (fig. 5, right)."""

    expansion = 4
    order = ("conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3")

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: Layer | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        out_channels = self.expansion * channels
        self.conv1 = Conv2d(in_channels, channels, 1, bias=False, rng=rng)
        self.bn1 = BatchNorm2d(channels)
        self.relu1 = ReLU()
        self.conv2 = Conv2d(channels, channels, 3, stride, padding=1, bias=False, rng=rng)
        self.bn2 = BatchNorm2d(channels)
        self.relu2 = ReLU()
        self.conv3 = Conv2d(channels, out_channels, 1, bias=False, rng=rng)
        self.bn3 = BatchNorm2d(out_channels)
        self.downsample = downsample
        self.relu = ReLU()


def resnet(
    block: type[BasicBlock] | type[Bottleneck],
    blocks: tuple[int, int, int, int],
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    small_images: bool = False,
    width: float = 1.0,
    checkpoint_blocks: bool = False,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """The network of one column of the paper's table 1.

        stage     output, from a 224x224 image    18  34  50 101 152
        conv1      64 @ 112x112                   7x7, stride 2, batch norm, ReLU
        maxpool    64 @  56x56                    3x3, stride 2
        layer1     64 @  56x56                     2   3   3   3   3   blocks: basic in 18 and 34,
        layer2    128 @  28x28                     2   4   4   4   8   bottlenecks in the others, which
        layer3    256 @  14x14                     2   6   6  23  36   put out four times the channels
        layer4    512 @   7x7                      2   3   3   3   3
        avgpool, fc                               global average, num_classes

    The first block of layer2, 3 and 4 has stride 2. A shortcut whose shape changes is a 1x1
    convolution with batch norm (option B of section 4.1).

    x (N, in_channels, H, W) -> logits (N, num_classes). small_images=True is for 32x32: conv1 is
    3x3 with stride 1, and there is no maxpool. width multiplies all channels. checkpoint_blocks=True
    keeps only the input of every block and computes the block again in backward. Convolutions are
    initialised He normal by fan-out, as in torchvision.
    """
    rng = generator(rng)
    channels = scaled(64, width)
    stem: dict[str, Layer] = {
        "conv1": Conv2d(in_channels, channels, 3, padding=1, bias=False, rng=rng)
        if small_images
        else Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False, rng=rng),
        "bn1": BatchNorm2d(channels),
        "relu": ReLU(),
    }
    if not small_images:
        stem["maxpool"] = MaxPool2d(3, stride=2, padding=1)

    stages: dict[str, Layer] = {}
    for number, count in enumerate(blocks):
        inside = scaled(64 * 2**number, width)
        stage = []
        for first in [True] + [False] * (count - 1):
            stride = 2 if first and number > 0 else 1
            out_channels = block.expansion * inside
            downsample = None
            if stride > 1 or channels != out_channels:
                projection = Conv2d(channels, out_channels, 1, stride, bias=False, rng=rng)
                downsample = Sequential(projection, BatchNorm2d(out_channels))
            stage.append(
                checkpointed(block(channels, inside, stride, downsample, rng=rng), checkpoint_blocks)
            )
            channels = out_channels
        stages[f"layer{number + 1}"] = Sequential(*stage)

    model = Sequential(
        **stem,
        **stages,
        avgpool=AdaptiveAvgPool2d(1),
        flatten=Flatten(),
        fc=Linear(channels, num_classes, rng=rng),
    )
    initialise(model, conv=he_normal(rng, "fan_out"))
    return model


def resnet18(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """18 layers with weights, 11,689,512 parameters. Options: those of resnet.resnet."""
    return resnet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, **options)


def resnet34(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """34 layers with weights, 21,797,672 parameters. Options: those of resnet.resnet."""
    return resnet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels, **options)


def resnet50(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """50 layers with weights, 25,557,032 parameters. Options: those of resnet.resnet."""
    return resnet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, **options)


def resnet101(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """101 layers with weights, 44,549,160 parameters. Options: those of resnet.resnet."""
    return resnet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels, **options)


def resnet152(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> Sequential:
    """152 layers with weights, 60,192,808 parameters. Options: those of resnet.resnet."""
    return resnet(Bottleneck, (3, 8, 36, 3), num_classes, in_channels, **options)
