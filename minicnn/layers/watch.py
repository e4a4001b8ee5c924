"""Recording what passes through a network, without changing the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from minicnn.backend import Array
from minicnn.layers.base import Layer


@dataclass
class Record:
    """What one leaf received and returned, last forward and last backward; None before that."""

    x: Array | None = None
    y: Array | None = None
    dy: Array | None = None
    dx: Array | None = None


@contextmanager
def watch(layer: Layer) -> Iterator[dict[str, Record]]:
    """Inside the context every forward and backward of a leaf writes into its Record.

    The dictionary is in the order of layer.leaves(); it stays readable after the context.
    """
    records: dict[str, Record] = {}
    with ExitStack() as stack:
        for name, leaf in layer.leaves():
            records[name] = Record()
            stack.enter_context(_spying(leaf, records[name]))
        yield records


@contextmanager
def _spying(leaf: Layer, record: Record) -> Iterator[None]:
    """Shadow the leaf's two methods by instance attributes that record; restore them at the end."""
    forward, backward = leaf.forward, leaf.backward

    def recording_forward(x: Array) -> Any:
        record.x, record.y = x, forward(x)
        return record.y

    def recording_backward(dy: Array, **options: Any) -> Any:
        record.dy, record.dx = dy, backward(dy, **options)
        return record.dx

    attributes = vars(leaf)
    shadowed: dict[str, Any] = {
        name: attributes[name] for name in ("forward", "backward") if name in attributes
    }
    attributes.update(forward=recording_forward, backward=recording_backward)
    try:
        yield
    finally:
        del attributes["forward"], attributes["backward"]
        vars(leaf).update(shadowed)
