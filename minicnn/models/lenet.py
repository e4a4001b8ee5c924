"""LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition", sec. II.B)."""

from __future__ import annotations

import numpy as np

from minicnn.errors import ConfigError
from minicnn.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, ReLU, Sequential, Tanh


def lenet5(
    num_classes: int = 10,
    in_channels: int = 1,
    *,
    activation: str = "relu",
    pooling: str = "max",
    image_size: int = 28,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """Two convolutions and three fully connected layers, 61,706 parameters.

        layer     output, from a 28x28 image
        conv1      6 @ 28x28   5x5, padding 2 (none for a 32x32 image: the same output)
        pool1      6 @ 14x14   2x2
        conv2     16 @ 10x10   5x5
        pool2     16 @  5x5    2x2
        fc1, fc2, fc3   120, 84, num_classes

    As it is used today: ReLU and max pooling. activation="tanh", pooling="average" and
    image_size=32 give the network of 1998, but for its trainable pooling, partly connected
    conv2 and radial basis output, which nobody kept. x (N, in_channels, H, W) -> logits.
    """
    if activation not in ("relu", "tanh"):
        raise ConfigError(f'lenet5: activation must be "relu" or "tanh", got {activation!r}')
    if pooling not in ("max", "average"):
        raise ConfigError(f'lenet5: pooling must be "max" or "average", got {pooling!r}')
    if image_size not in (28, 32):
        raise ConfigError(f"lenet5: image_size must be 28 or 32, got {image_size!r}")
    rng = np.random.default_rng() if rng is None else rng

    def act() -> Layer:
        return ReLU() if activation == "relu" else Tanh()

    def pool() -> Layer:
        return MaxPool2d(2) if pooling == "max" else AvgPool2d(2)

    return Sequential(
        conv1=Conv2d(in_channels, 6, 5, padding=2 if image_size == 28 else 0, rng=rng),
        act1=act(),
        pool1=pool(),
        conv2=Conv2d(6, 16, 5, rng=rng),
        act2=act(),
        pool2=pool(),
        flatten=Flatten(),
        fc1=Linear(16 * 5 * 5, 120, rng=rng),
        act3=act(),
        fc2=Linear(120, 84, rng=rng),
        act4=act(),
        fc3=Linear(84, num_classes, rng=rng),
    )
