"""What the architectures share: widths, recomputation and initial weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn import init
from minicnn.errors import ConfigError
from minicnn.layers import Checkpoint, Conv2d, Layer, Linear, Parameter

MakeWeight = Callable[[tuple[int, ...]], np.ndarray]


def checkpointed(layer: Layer, checkpoint_blocks: bool) -> Layer:
    """The layer, recomputed in backward if so wished."""
    return Checkpoint(layer) if checkpoint_blocks else layer


def scaled(channels: int, width: float) -> int:
    """A number of channels times the width of the network (Howard et al. 2017, MobileNets, sec. 3.3)."""
    if not width > 0:
        raise ConfigError(f"width is a factor on the number of channels, greater than 0, got {width!r}")
    return max(1, round(channels * width))


def generator(rng: np.random.Generator | None) -> np.random.Generator:
    """The given generator, or one from fresh entropy."""
    return np.random.default_rng() if rng is None else rng


# ---- initial weights


def initialise(
    model: Layer, *, conv: MakeWeight | None = None, linear: MakeWeight | None = None, zero_bias: str = ""
) -> None:
    """Draw the weights of all convolutions and linear layers anew, from shape to array.

    None leaves PyTorch's default. zero_bias names the kinds of layer whose biases start at zero:
    "conv", "linear", "conv linear" or none. Batch norm starts with 1 and 0 anyway.
    """
    for _, layer in model.leaves():
        for kind, name, make in ((Conv2d, "conv", conv), (Linear, "linear", linear)):
            if not isinstance(layer, kind):
                continue
            if make is not None:
                _redraw(layer.weight, make)
            bias = layer.bias
            if bias is not None and name in zero_bias.split():
                bias.value[...] = 0


def _redraw(weight: Parameter, make: MakeWeight) -> None:
    weight.replace(lambda old: make(old.shape))


def he_normal(rng: np.random.Generator, mode: init.Mode) -> MakeWeight:
    """Kaiming He's initialisation for layers before a ReLU: standard deviation √(2 / fan)."""
    return lambda shape: init.kaiming_normal(shape, rng=rng, mode=mode, nonlinearity="relu")


def normal(rng: np.random.Generator, std: float) -> MakeWeight:
    return lambda shape: init.normal(shape, rng=rng, std=std)
