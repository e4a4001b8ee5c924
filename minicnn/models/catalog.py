"""The networks by name: what `models.build` and the `minicnn` command know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, nearest
from minicnn.layers import Layer
from minicnn.models.convnet3 import convnet3
from minicnn.models.lenet import lenet5


class Architecture(NamedTuple):
    """One network: how to build it and what it takes."""

    builder: Callable[..., Layer]
    input_shape: tuple[int, int, int]  # (C, H, W) of the images it is made for
    description: str


ARCHITECTURES: dict[str, Architecture] = {
    "lenet5": Architecture(lenet5, (1, 28, 28), "LeCun et al. 1998, with ReLU and max pooling"),
    "convnet3": Architecture(convnet3, (3, 32, 32), "three 3x3 convolutions and dropout"),
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
