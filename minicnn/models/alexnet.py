"""AlexNet, in the one-column form that torchvision publishes weights for.

Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural
networks", as simplified in Krizhevsky 2014, "One weird trick for parallelizing convolutional
neural networks", footnote 1: one column of 64, 192, 384, 256, 256 filters, no response normalisation.
"""

from __future__ import annotations

import numpy as np

from minicnn.layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.models.blocks import checkpointed, generator, scaled


def alexnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    width: float = 1.0,
    checkpoint_blocks: bool = False,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """Five convolutions and three fully connected layers, 61,100,840 parameters.

        layer           output, from a 224x224 image
        conv1    64 @ 55x55   11x11, stride 4, padding 2
        pool1    64 @ 27x27   3x3, stride 2
        conv2   192 @ 27x27   5x5, padding 2
        pool2   192 @ 13x13   3x3, stride 2
        conv3   384 @ 13x13   3x3, padding 1
        conv4   256 @ 13x13   3x3, padding 1
        conv5   256 @ 13x13   3x3, padding 1
        pool5   256 @  6x6    3x3, stride 2
        avgpool 256 @  6x6    adaptive: the identity at 224x224
        fc      4096, 4096, num_classes, dropout before the first two

    x (N, in_channels, H, W), H and W from 63 -> logits (N, num_classes). width multiplies all
    channels, 4096 among them; checkpoint_blocks=True keeps only the input of the convolutions and
    computes them again in backward.
    """
    rng = generator(rng)
    c1, c2, c3, c4 = (scaled(channels, width) for channels in (64, 192, 384, 256))
    hidden = scaled(4096, width)
    features = Sequential(
        Conv2d(in_channels, c1, 11, stride=4, padding=2, rng=rng), ReLU(), MaxPool2d(3, 2),
        Conv2d(c1, c2, 5, padding=2, rng=rng), ReLU(), MaxPool2d(3, 2),
        Conv2d(c2, c3, 3, padding=1, rng=rng), ReLU(),
        Conv2d(c3, c4, 3, padding=1, rng=rng), ReLU(),
        Conv2d(c4, c4, 3, padding=1, rng=rng), ReLU(), MaxPool2d(3, 2),
    )  # fmt: skip
    classifier = Sequential(
        Dropout(dropout, rng=rng), Linear(c4 * 6 * 6, hidden, rng=rng), ReLU(),
        Dropout(dropout, rng=rng), Linear(hidden, hidden, rng=rng), ReLU(),
        Linear(hidden, num_classes, rng=rng),
    )  # fmt: skip
    return Sequential(
        features=checkpointed(features, checkpoint_blocks),
        avgpool=AdaptiveAvgPool2d((6, 6)),
        flatten=Flatten(),
        classifier=classifier,
    )
