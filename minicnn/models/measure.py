"""The size of a network without its work: parameters, shapes and multiply-adds by an empty batch.

A network of 140 million weights takes seconds to draw and a billion products to run. Neither is
needed to know its shapes: the weights stay zeros that no memory page was ever touched for, and
the batch that goes through holds no image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.layers import Layer
from minicnn.layers.inference import evaluating
from minicnn.models.catalog import architecture, build


class Size(NamedTuple):
    """What `minicnn models` lists, for one image of the size that the network is made for."""

    input_shape: tuple[int, int, int]  # (C, H, W)
    parameters: int
    multiply_adds: int


def size(name: str, **options: Any) -> Size:
    """Parameters (those of auxiliary heads too) and multiply-adds of a forward pass in evaluation."""
    input_shape = architecture(name).input_shape
    if "in_channels" in options:
        input_shape = (options["in_channels"], *input_shape[1:])
    model = weightless(name, **options)
    shapes = leaf_shapes(model, input_shape)
    leaves = dict(model.leaves())
    return Size(
        input_shape,
        sum(parameter.size for parameter in model.parameters()),
        sum(leaves[leaf].multiply_adds((1, *x), (1, *y)) for leaf, (x, y) in shapes.items()),
    )


def weightless(name: str, **options: Any) -> Layer:
    """The network with zeros for weights, made in no time: to be looked at, not to be trained."""
    return build(name, rng=_NoDraws(), **options)  # type: ignore[arg-type]


def leaf_shapes(model: Layer, input_shape: tuple[int, ...]) -> dict[str, tuple[Any, Any]]:
    """Name -> (shape of its input, shape of its output) of every leaf that an image meets, without N."""
    with evaluating(model), model.watch() as records:
        model.forward(np.zeros((0, *input_shape), dtype=np.float32))
    return {
        name: (record.x.shape[1:], record.y.shape[1:])
        for name, record in records.items()
        if record.x is not None and record.y is not None
    }


class _NoDraws:
    """Stands for a numpy.random.Generator where the values do not matter."""

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape, dtype=np.float32)

    normal = uniform

    def integers(self, *args: Any, **options: Any) -> int:
        return 0
