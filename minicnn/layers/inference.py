"""with minicnn.inference(): forward keeps no caches, so memory stays flat and backward is off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.layers.base import Layer

_inference: ContextVar[bool] = ContextVar("minicnn_inference", default=False)


def is_inference() -> bool:
    """Whether the calling context is inside `with inference():`."""
    return _inference.get()


@contextmanager
def inference(mode: bool = True) -> Iterator[None]:
    """Inside, no layer keeps what backward would need. It does not switch to eval mode.

    inference(False) undoes an outer one.
    """
    token = _inference.set(mode)
    try:
        yield
    finally:
        _inference.reset(token)


@contextmanager
def evaluating(layer: Layer) -> Iterator[None]:
    """Inference in eval mode; afterwards every layer has its mode and its cache back."""
    before = [(each, each.training, each.cache) for _, each in layer.named_layers()]
    layer.eval()
    try:
        with inference():
            yield
    finally:
        for each, training, cache in before:
            each.training, each._cache = training, cache
