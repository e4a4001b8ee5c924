"""The residual networks for 32x32 images, and their plain twins: the depth experiment.

He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError
from minicnn.functional.check import check_upstream
from minicnn.layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Layer, Linear, ReLU, Sequential
from minicnn.models.blocks import checkpointed, generator, he_normal, initialise, scaled
from minicnn.models.resnet import BasicBlock


class SubsamplingShortcut(Layer):
    """Every stride-th pixel, and zeros for the channels that x lacks: a shortcut without parameters.

    y[:, :C, p, q] = x[:, :, p stride, q stride],  y[:, C:] = 0  (option A of section 4.1).
    x (N, C, H, W) -> y (N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉).
    """

    def __init__(self, out_channels: int, stride: int) -> None:
        self.out_channels = out_channels
        self.stride = stride

    def forward(self, x: Array) -> Array:
        seen = x[:, :, :: self.stride, :: self.stride]
        y = get_xp(x).zeros((x.shape[0], self.out_channels, *seen.shape[2:]), dtype=x.dtype)
        y[:, : x.shape[1]] = seen
        self.cache = (x.shape, y.shape)
        return y

    def backward(self, dy: Array) -> Array:
        x_shape, y_shape = self.take_cache()
        check_upstream("SubsamplingShortcut", dy, y_shape)
        dx = get_xp(dy).zeros(x_shape, dtype=dy.dtype)
        dx[:, :, :: self.stride, :: self.stride] = dy[:, : x_shape[1]]
        return dx

    def extra_repr(self) -> str:
        return f"{self.out_channels}, stride={self.stride}"


def resnet_cifar(
    depth: int,
    residual: bool = True,
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    width: float = 1.0,
    checkpoint_blocks: bool = False,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """depth = 6n + 2 layers with weights: a convolution, three stages of n basic blocks, and fc.

        stage     output, from a 32x32 image
        conv1     16 @ 32x32    3x3, batch norm, ReLU
        layer1    16 @ 32x32    n blocks of two 3x3 convolutions
        layer2    32 @ 16x16    n blocks, the first with stride 2
        layer3    64 @  8x8     n blocks, the first with stride 2
        avgpool, fc             global average, num_classes

    Shortcuts are identities, subsampled and padded with zeros where the shape changes, so
    residual=False, the same without shortcuts, has the same parameters to the last one.
    width and checkpoint_blocks as in resnet.resnet. x (N, in_channels, H, W) -> logits.
    """
    if depth < 8 or depth % 6 != 2:
        raise ConfigError(f"resnet_cifar: depth must be 6n + 2, such as 20, 32, 44, 56 or 110, got {depth}")
    rng = generator(rng)
    channels = scaled(16, width)
    stem = {
        "conv1": Conv2d(in_channels, channels, 3, padding=1, bias=False, rng=rng),
        "bn1": BatchNorm2d(channels),
        "relu": ReLU(),
    }
    stages: dict[str, Layer] = {}
    for number in range(3):
        out_channels = scaled(16 * 2**number, width)
        stage = []
        for first in [True] + [False] * ((depth - 2) // 6 - 1):
            stride = 2 if first and number > 0 else 1
            shortcut = (
                SubsamplingShortcut(out_channels, stride) if stride > 1 or channels != out_channels else None
            )
            block: Layer = BasicBlock(channels, out_channels, stride, shortcut, rng=rng)
            if not residual:
                block = _without_shortcut(block)
            stage.append(checkpointed(block, checkpoint_blocks))
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


def _without_shortcut(block: Layer) -> Sequential:
    """The block's layers as a plain chain, under the same names."""
    layers = dict(block.children())
    layers.pop("downsample", None)
    return Sequential(layers)


def resnet20(num_classes: int = 10, in_channels: int = 3, **options: Any) -> Sequential:
    """20 layers with weights, three blocks a stage. Options: those of resnet_cifar.resnet_cifar."""
    return resnet_cifar(20, True, num_classes, in_channels, **options)


def resnet56(num_classes: int = 10, in_channels: int = 3, **options: Any) -> Sequential:
    """56 layers with weights, nine blocks a stage. Options: those of resnet_cifar.resnet_cifar."""
    return resnet_cifar(56, True, num_classes, in_channels, **options)


def plain20(num_classes: int = 10, in_channels: int = 3, **options: Any) -> Sequential:
    """resnet20 without shortcuts. Options: those of resnet_cifar.resnet_cifar."""
    return resnet_cifar(20, False, num_classes, in_channels, **options)


def plain56(num_classes: int = 10, in_channels: int = 3, **options: Any) -> Sequential:
    """resnet56 without shortcuts: deeper than plain20, and worse. Options: those of resnet_cifar.resnet_cifar."""
    return resnet_cifar(56, False, num_classes, in_channels, **options)
