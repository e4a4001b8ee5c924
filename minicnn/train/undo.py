"""Try something on a model, and have it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minicnn.layers.base import Layer
from minicnn.optim import Optimizer


@contextmanager
def undoing(model: Layer, optimizer: Optimizer | None = None) -> Iterator[None]:
    """Afterwards weights, buffers, modes, what random layers draw, and the optimizer are as before.

    Gradients are gone. Values are written in place, so the optimizer stays attached.
    """
    layers = [layer for _, layer in model.named_layers()]
    weights = model.state_dict()
    memory = None if optimizer is None else optimizer.state_dict()
    modes = [layer.training for layer in layers]
    random = [(layer, layer.random_state()) for layer in layers if hasattr(layer, "random_state")]
    try:
        yield
    finally:
        model.load_state_dict(weights)
        model.zero_grad()
        for layer, mode in zip(layers, modes):
            layer.training = mode
        for layer, state in random:
            layer.load_random_state(state)  # type: ignore[attr-defined]
        if optimizer is not None and memory is not None:
            optimizer.load_state_dict(memory)
