"""Dense concatenation: one buffer of channel slices instead of a copy of everything for every layer."""

from __future__ import annotations

import numpy as np

from minicnn.backend import Array, device_of, get_xp
from minicnn.errors import ShapeError
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.memory import empty
from minicnn.kernels.table import Shaped
from minicnn.layers.containers import _Collection
from minicnn.layers.fusion import backward_onto, naming


class DenseConcat(_Collection):
    """Every layer sees all features before it, and adds its own (Huang et al. 2017, eq. 2).

        x_0 = x,  x_l = f_l([x_0, ..., x_{l-1}]),  y = [x_0, ..., x_L], concatenated along channels.

    Concatenating anew for every layer would copy the first features L times. Here all of them
    lie in one buffer, layer l reads its first channels as a view, and what it adds is written
    behind them, once:

        [ x_0 | x_1 | x_2 | ...   ]
        |-----------|              the view that f_2 reads; x_2 goes behind it

    A slice that has been filled is never written again, so the views that layers keep for their
    backward stay as they were. Every forward has a buffer of its own.
    """

    can_skip_dx = False  # the input's gradient is needed on the way to every layer's

    def __init__(self, *layers: object, **named: object) -> None:
        super().__init__(*layers, **named)  # type: ignore[arg-type]
        self._channels_last_time = 0  # a hint for the size of the buffer, never more than that

    def forward(self, x: Array) -> Array:
        features = Features(x, self._channels_last_time)
        widths = [x.shape[1]]
        for name, layer in self.children():
            with naming(name, layer):
                new = layer(features.filled)
                features.append(new)
            widths.append(new.shape[1])
        self.cache = widths
        self._channels_last_time = sum(widths)
        return features.filled

    def backward(self, dy: Array) -> Array:
        widths = self.read_cache()
        if dy.shape[1] != sum(widths):
            raise ShapeError(f"backward expects a gradient with {sum(widths)} channels, got {dy.shape}")
        self.take_cache()
        dfeatures = Features(dy).filled  # a copy: gradients add up in it
        end = dy.shape[1]
        for layer, width in zip(reversed(list(self)), reversed(widths[1:])):
            # The last features are complete: nothing later used them. What they were made of gets its share.
            start = end - width
            before = dfeatures[:, :start]
            total = backward_onto(layer, dfeatures[:, start:end], True, before)
            if total is not before:  # a batch norm adds onto the slice itself
                before[...] = total
            end = start
        return dfeatures[:, :end]


class Features:
    """A buffer (N, C, ...) whose channels are filled from the front. Its storage is ordered like x's."""

    def __init__(self, x: Array, room: int = 0) -> None:
        self._count = x.shape[1]
        self._buffer = _empty_like(x, max(room, x.shape[1]))
        _put(x, self._buffer[:, : self._count])

    @property
    def filled(self) -> Array:
        """A view of the channels so far."""
        return self._buffer[:, : self._count]

    def append(self, new: Array) -> None:
        """Write new (N, k, ...) behind what is there."""
        filled = self.filled
        if (new.shape[0], *new.shape[2:]) != (filled.shape[0], *filled.shape[2:]):
            raise ShapeError(
                f"dense concatenation puts {new.shape} behind {filled.shape}, which differ in more than their channels: "
                "check their padding and stride, every layer must keep height and width"
            )
        end = self._count + new.shape[1]
        if end > self._buffer.shape[1]:
            # In a network's first forward nobody knows yet how many will come. Views of the old buffer stay good.
            self._buffer = _empty_like(filled, 2 * end)
            _put(filled, self._buffer[:, : self._count])
        _put(new, self._buffer[:, self._count : end])
        self._count = end


def _empty_like(x: Array, channels: int) -> Array:
    """An array (N, channels, ...) with its axes stored in the order of x's, from the pool where there is one."""
    shape = (x.shape[0], channels, *x.shape[2:])
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    stored_shape = tuple(shape[axis] for axis in order)
    if device_of(x) == "cpu":
        stored = empty(stored_shape, x.dtype)
    else:
        stored = get_xp(x).empty(stored_shape, dtype=x.dtype)
    return stored.transpose([int(axis) for axis in np.argsort(order)])


def _put(x: Array, channels: Array) -> None:
    """channels[...] = x, for a slice of channels."""
    kernel = kernel_for("concatenate", x, Shaped(x.shape)) if x.dtype == channels.dtype else None
    if kernel is None or not kernel.put(x, channels):
        channels[...] = x
