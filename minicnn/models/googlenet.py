"""GoogLeNet, with its two auxiliary classifiers.

Szegedy et al. 2015, "Going deeper with convolutions", table 1, in the form that torchvision
publishes weights for: batch norm after every convolution instead of response normalisation, and a
3x3 where the paper's inception module has a 5x5.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.check import check_nchw
from minicnn.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.layers.fusion import backward_chain, forward_chain
from minicnn.layers.sums import add
from minicnn.models.blocks import checkpointed, generator, initialise, normal, scaled


class GoogLeNetOutputs(NamedTuple):
    """What the network gives in training, (N, num_classes) each, and what its backward takes."""

    logits: Array
    aux_logits2: Array
    aux_logits1: Array


def basic_conv(
    in_channels: int, out_channels: int, kernel_size: int, rng: np.random.Generator, **options: Any
) -> Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return Sequential(
        conv=Conv2d(in_channels, out_channels, kernel_size, bias=False, rng=rng, **options),
        bn=BatchNorm2d(out_channels, eps=0.001),
        relu=ReLU(),
    )


def inception(in_channels: int, columns: tuple[int, ...], rng: np.random.Generator) -> Concat:
    """Four branches side by side (fig. 2b); columns are those of table 1, from #1x1 to "pool proj"."""
    n1x1, n3x3_reduce, n3x3, n5x5_reduce, n5x5, pool_projection = columns
    return Concat(
        branch1=basic_conv(in_channels, n1x1, 1, rng),
        branch2=Sequential(
            basic_conv(in_channels, n3x3_reduce, 1, rng),
            basic_conv(n3x3_reduce, n3x3, 3, rng, padding=1),
        ),
        branch3=Sequential(
            basic_conv(in_channels, n5x5_reduce, 1, rng),
            basic_conv(n5x5_reduce, n5x5, 3, rng, padding=1),
        ),
        branch4=Sequential(
            MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            basic_conv(in_channels, pool_projection, 1, rng),
        ),
    )


def auxiliary_head(
    in_channels: int, num_classes: int, dropout: float, width: float, rng: np.random.Generator
) -> Sequential:
    """A classifier on features half way, for training only (section 5)."""
    channels, hidden = scaled(128, width), scaled(1024, width)
    return Sequential(
        avgpool=AdaptiveAvgPool2d(4),
        conv=basic_conv(in_channels, channels, 1, rng),
        flatten=Flatten(),
        fc1=Linear(channels * 4 * 4, hidden, rng=rng),
        relu=ReLU(),
        dropout=Dropout(dropout, rng=rng),
        fc2=Linear(hidden, num_classes, rng=rng),
    )


class Renormalise(Layer):
    """From images normalised by ImageNet's mean and deviation per channel to (x - 0.5) / 0.5."""

    SCALE = np.array([0.229, 0.224, 0.225]) / 0.5
    SHIFT = (np.array([0.485, 0.456, 0.406]) - 0.5) / 0.5

    def forward(self, x: Array) -> Array:
        check_nchw("transform_input", x, 3)
        self.cache = True
        return x * self._per_channel(self.SCALE, x) + self._per_channel(self.SHIFT, x)

    def backward(self, dy: Array) -> Array:
        self.take_cache()
        return dy * self._per_channel(self.SCALE, dy)

    def _per_channel(self, values: np.ndarray, like: Array) -> Array:
        return get_xp(like).asarray(values, dtype=like.dtype).reshape(3, 1, 1)


class GoogLeNet(Layer):
    """See googlenet(). In training forward gives three outputs, in evaluation the logits alone."""

    can_skip_dx = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        aux_logits: bool,
        transform_input: bool,
        dropout: float,
        dropout_aux: float,
        width: float,
        checkpoint_blocks: bool,
        rng: np.random.Generator,
    ) -> None:
        channels = in_channels

        def conv(out_channels: int, kernel_size: int, **options: Any) -> Layer:
            nonlocal channels
            arriving, channels = channels, scaled(out_channels, width)
            return basic_conv(arriving, channels, kernel_size, rng, **options)

        def module(*columns: int) -> Layer:
            nonlocal channels
            columns = tuple(scaled(column, width) for column in columns)
            arriving, channels = channels, columns[0] + columns[2] + columns[4] + columns[5]
            return checkpointed(inception(arriving, columns, rng), checkpoint_blocks)

        def auxiliary(arriving: int) -> Layer | None:
            return auxiliary_head(arriving, num_classes, dropout_aux, width, rng) if aux_logits else None

        self.transform = Renormalise() if transform_input else None
        self.conv1 = conv(64, 7, stride=2, padding=3)
        self.maxpool1 = MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = conv(64, 1)
        self.conv3 = conv(192, 3, padding=1)
        self.maxpool2 = MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = module(64, 96, 128, 16, 32, 32)
        self.inception3b = module(128, 128, 192, 32, 96, 64)
        self.maxpool3 = MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = module(192, 96, 208, 16, 48, 64)
        channels_at_4a = channels
        self.inception4b = module(160, 112, 224, 24, 64, 64)
        self.inception4c = module(128, 128, 256, 24, 64, 64)
        self.inception4d = module(112, 144, 288, 32, 64, 64)
        channels_at_4d = channels
        self.inception4e = module(256, 160, 320, 32, 128, 128)
        self.maxpool4 = MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = module(256, 160, 320, 32, 128, 128)
        self.inception5b = module(384, 192, 384, 48, 128, 128)
        self.aux1, self.aux2 = auxiliary(channels_at_4a), auxiliary(channels_at_4d)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.dropout = Dropout(dropout, rng=rng)
        self.fc = Linear(channels, num_classes, rng=rng)

    def to_4a(self) -> list[tuple[str, Layer]]:
        """From the image to the first auxiliary head."""
        start = () if self.transform is None else ("transform",)
        stem = "conv1", "maxpool1", "conv2", "conv3", "maxpool2"
        return self._named(*start, *stem, "inception3a", "inception3b", "maxpool3", "inception4a")

    def to_4d(self) -> list[tuple[str, Layer]]:
        """From the first auxiliary head to the second."""
        return self._named("inception4b", "inception4c", "inception4d")

    def to_logits(self) -> list[tuple[str, Layer]]:
        """From the second auxiliary head to the end."""
        modules = "inception4e", "maxpool4", "inception5a", "inception5b"
        return self._named(*modules, "avgpool", "flatten", "dropout", "fc")

    def _named(self, *names: str) -> list[tuple[str, Layer]]:
        return [(name, getattr(self, name)) for name in names]

    def forward(self, x: Array) -> Array | GoogLeNetOutputs:
        at_4a = forward_chain(self.to_4a(), x)
        at_4d = forward_chain(self.to_4d(), at_4a)
        logits = forward_chain(self.to_logits(), at_4d)
        if not self.training or self.aux1 is None or self.aux2 is None:
            self.cache = "logits"
            return logits
        self.cache = "three"
        aux2, aux1 = self._named("aux2"), self._named("aux1")
        return GoogLeNetOutputs(logits, forward_chain(aux2, at_4d), forward_chain(aux1, at_4a))

    def signature(self) -> tuple[Array, ...]:
        """That of the layers that the last forward went through: in evaluation the heads were left out."""
        heads = self._named("aux2", "aux1") if self.read_cache() == "three" else []
        path = [*self.to_4a(), *self.to_4d(), *self.to_logits(), *heads]
        return tuple(part for _, layer in path for part in layer.signature())

    def backward(self, dy: Array | GoogLeNetOutputs, need_dx: bool = True) -> Array | None:
        dlogits, daux2, daux1 = _three(dy, given_three=self.read_cache() == "three")
        self.take_cache()
        at_4d = _sum(_through(dlogits, self.to_logits()), _through(daux2, self._named("aux2")))
        at_4a = _sum(_through(at_4d, self.to_4d()), _through(daux1, self._named("aux1")))
        return _through(at_4a, self.to_4a(), need_dx)


def _three(dy: Any, given_three: bool) -> GoogLeNetOutputs:
    """The upstream gradient as one of three outputs; None for an output that has none."""
    if not given_three:
        if isinstance(dy, tuple):
            raise ShapeError(
                "GoogLeNet's forward gave logits alone, and backward takes one gradient, not a tuple"
            )
        return GoogLeNetOutputs(dy, None, None)
    if not isinstance(dy, tuple) or len(dy) != 3:
        raise ShapeError(
            "GoogLeNet in training gave (logits, aux_logits2, aux_logits1), and backward takes a tuple of their three "
            f"gradients, got {type(dy).__name__}: use losses.WithAuxiliary(losses.CrossEntropyLoss(), 0.3), "
            "give None for an output without a gradient, or build the network with aux_logits=False"
        )
    if all(gradient is None for gradient in dy):
        raise ShapeError("GoogLeNet's backward got three times None: at least one output needs a gradient")
    return GoogLeNetOutputs(*dy)


def _through(dy: Array | None, layers: list[tuple[str, Layer]], need_dx: bool = True) -> Array | None:
    """dy back through the layers; None stays None."""
    return None if dy is None else backward_chain([layer for _, layer in layers], dy, need_dx)


def _sum(one: Array | None, other: Array | None) -> Array | None:
    """A fork sums; None counts as zero."""
    if one is None or other is None:
        return other if one is None else one
    return add(one, other)


def googlenet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    aux_logits: bool = True,
    transform_input: bool = False,
    dropout: float = 0.2,
    dropout_aux: float = 0.7,
    width: float = 1.0,
    checkpoint_blocks: bool = False,
    rng: np.random.Generator | None = None,
) -> GoogLeNet:
    """Nine inception modules; 13,004,888 parameters with the auxiliary heads, 6,624,904 without.

        layer          output, from a 224x224 image
        conv1           64 @ 112x112   7x7, stride 2
        maxpool1        64 @  56x56    3x3, stride 2
        conv2, conv3   192 @  56x56    1x1 to 64, 3x3
        maxpool2       192 @  28x28    3x3, stride 2
        inception3a    256 @  28x28     64, 96-128, 16-32, 32        #1x1, #3x3 reduce-#3x3,
        inception3b    480 @  28x28    128, 128-192, 32-96, 64       #5x5 reduce-#5x5, pool proj
        maxpool3       480 @  14x14    3x3, stride 2
        inception4a    512 @  14x14    192, 96-208, 16-48, 64        aux1 hangs on it
        inception4b    512 @  14x14    160, 112-224, 24-64, 64
        inception4c    512 @  14x14    128, 128-256, 24-64, 64
        inception4d    528 @  14x14    112, 144-288, 32-64, 64       aux2 hangs on it
        inception4e    832 @  14x14    256, 160-320, 32-128, 128
        maxpool4       832 @   7x7     2x2, stride 2
        inception5a    832 @   7x7     256, 160-320, 32-128, 128
        inception5b   1024 @   7x7     384, 192-384, 48-128, 128
        avgpool, fc                    global average, dropout, num_classes

    x (N, in_channels, H, W) -> in training GoogLeNetOutputs, for losses.WithAuxiliary; in evaluation,
    or with aux_logits=False, logits (N, num_classes). transform_input=True belongs to torchvision's
    published weights: it takes images normalised as for the other networks. width multiplies all
    channels. checkpoint_blocks=True keeps only the input of every inception module and computes it
    again in backward. Weights start as N(0, 0.01²), as in torchvision (whose truncation at 200
    standard deviations changes nothing).
    """
    if transform_input and in_channels != 3:
        raise ConfigError(
            f"googlenet: transform_input needs in_channels=3 (red, green, blue), got {in_channels}"
        )
    rng = generator(rng)
    model = GoogLeNet(
        num_classes, in_channels, aux_logits, transform_input, dropout, dropout_aux, width, checkpoint_blocks, rng
    )  # fmt: skip
    initialise(model, conv=normal(rng, 0.01), linear=normal(rng, 0.01))
    return model
