"""ConvNet-3: three convolutions for small colour images, the size of a course assignment."""

from __future__ import annotations

import numpy as np

from minicnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential


def convnet3(
    num_classes: int = 10, in_channels: int = 3, *, rng: np.random.Generator | None = None
) -> Sequential:
    """Each convolution doubles the channels, each pooling halves the image. 620,362 parameters.

        layer     output, from a 32x32 image
        conv1      32 @ 32x32   3x3, padding 1
        pool1      32 @ 16x16   2x2
        conv2      64 @ 16x16   3x3, padding 1
        pool2      64 @  8x8    2x2
        conv3     128 @  8x8    3x3, padding 1
        pool3     128 @  4x4    2x2
        fc1       256, then dropout 0.5
        fc2       num_classes

    x (N, in_channels, 32, 32) -> logits (N, num_classes).
    """
    rng = np.random.default_rng() if rng is None else rng
    return Sequential(
        conv1=Conv2d(in_channels, 32, 3, padding=1, rng=rng),
        act1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=Conv2d(32, 64, 3, padding=1, rng=rng),
        act2=ReLU(),
        pool2=MaxPool2d(2),
        conv3=Conv2d(64, 128, 3, padding=1, rng=rng),
        act3=ReLU(),
        pool3=MaxPool2d(2),
        flatten=Flatten(),
        fc1=Linear(128 * 4 * 4, 256, rng=rng),
        act4=ReLU(),
        drop=Dropout(0.5, rng=rng),
        fc2=Linear(256, num_classes, rng=rng),
    )
