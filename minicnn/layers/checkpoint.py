"""Recomputation: keep a block's input instead of everything inside it, and compute the rest again.

Chen, Xu, Zhang & Guestrin 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.layers.base import Layer, backward_into
from minicnn.layers.dropout import Dropout
from minicnn.layers.fusion import backward_onto
from minicnn.layers.inference import inference


class Replay(NamedTuple):
    """All that the forward pass depended on, besides the parameters."""

    x: Array
    modes: list[bool]  # training or not, of every layer inside
    offsets: list[int]  # which mask comes next, of every Dropout inside


class Checkpoint(Layer):
    """y = layer(x), but of the forward pass only x is kept; backward runs it again to get the rest.

    Memory for time: the caches of the layers inside exist one Checkpoint at a time, and the forward
    pass is computed twice. Gradients are those without it, bit for bit: dropout replays its masks, and
    batch norm's running statistics, updated in the first pass, are not updated in the second. What else
    a layer remembers from pass to pass (a generator of its own, say) is not put back.

    Names are those of the layer inside, as if Checkpoint were not there, so state dicts fit both ways.
    """

    can_skip_dx = True
    can_add_onto = True

    def __init__(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise ConfigError(f"Checkpoint takes one layer, got {layer!r}: put several into a Sequential")
        self.layer = layer

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield "", self.layer

    def forward(self, x: Array) -> Array:
        replay = Replay(x, self._modes(), self._offsets())
        with inference():
            y = self.layer(x)
        self.cache = replay
        return y

    def backward(self, dy: Array, need_dx: bool = True, onto: Array | None = None) -> Array | None:
        """dx, or dx + onto where paths meet, added by the same kernel as without a Checkpoint: the same bits."""
        self._run_again(self.take_cache())
        if onto is None:
            return backward_into(self.layer, dy, need_dx)
        return backward_onto(self.layer, dy, need_dx, onto)

    def signature(self) -> tuple[Array, ...]:
        self._run_again(self.read_cache())
        signature = self.layer.signature()
        for _, layer in self.layer.named_layers():
            layer.cache = None
        return signature

    def _run_again(self, replay: Replay) -> None:
        """Fill the caches inside; afterwards modes, offsets and statistics are what they were before."""
        modes, offsets = self._modes(), self._offsets()
        buffers = [(buffer, buffer.value.copy()) for _, buffer in self.layer.named_buffers()]
        self._set(replay.modes, replay.offsets)
        try:
            with inference(False):
                self.layer(replay.x)
        finally:
            self._set(modes, offsets)
            for buffer, value in buffers:
                buffer.value[...] = value

    def _modes(self) -> list[bool]:
        return [layer.training for _, layer in self.layer.named_layers()]

    def _offsets(self) -> list[int]:
        return [dropout.offset for dropout in self._dropouts()]

    def _set(self, modes: list[bool], offsets: list[int]) -> None:
        for (_, layer), mode in zip(self.layer.named_layers(), modes):
            layer.training = mode
        for dropout, offset in zip(self._dropouts(), offsets):
            dropout.offset = offset

    def _dropouts(self) -> list[Dropout]:
        return [layer for _, layer in self.layer.named_layers() if isinstance(layer, Dropout)]
