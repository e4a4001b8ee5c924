"""Where the time goes, layer by layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.layers.base import Layer
from minicnn.losses import Loss
from minicnn.train.undo import undoing


@dataclass(frozen=True)
class LayerTimes:
    """Milliseconds of one batch, the median of several, by leaf in order of depth."""

    names: list[str]
    kinds: list[str]
    forward: list[float]
    backward: list[float]


def time_layers(model: Layer, loss: Loss, x: Any, labels: Any, repeats: int = 7) -> LayerTimes:
    """Forward and backward of a batch, x (N, C, H, W) and labels (N,), each leaf timed; the model stays as it was.

    Leaves are timed one by one, so where a container would fuse two (convolution and ReLU) the sum is a
    little more than training takes. On a GPU these are launch times.
    """
    leaves = dict(model.leaves())
    spent: dict[str, list[list[float]]] = {name: [[], []] for name in leaves}
    with undoing(model), ExitStack() as stack:
        model.train()
        for name, leaf in leaves.items():
            stack.enter_context(_timed(leaf, *spent[name]))
        for _ in range(repeats + 1):  # the first one warms up
            loss.forward(model.forward(x), labels)
            model.backward(loss.backward())
    names = [name for name in leaves if spent[name][0]]
    forward, backward = (
        [1000 * float(np.median(spent[name][way][1:] or [0.0])) for name in names] for way in (0, 1)
    )
    return LayerTimes(names, [type(leaves[name]).__name__ for name in names], forward, backward)


@contextmanager
def _timed(leaf: Layer, forward: list[float], backward: list[float]) -> Iterator[None]:
    """Shadow the leaf's two methods by instance attributes that look at the clock."""
    attributes = vars(leaf)
    before: dict[str, Any] = {
        name: attributes[name] for name in ("forward", "backward") if name in attributes
    }

    def timing(method: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = method(*args, **options)
            spent.append(time.perf_counter() - start)
            return result

        return timed

    attributes.update(forward=timing(leaf.forward, forward), backward=timing(leaf.backward, backward))
    try:
        yield
    finally:
        del attributes["forward"], attributes["backward"]
        attributes.update(before)
