"""Layers made of layers. Each backward reads as its forward reversed, and a fork sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped
from minicnn.layers.activation import Identity, ReLU
from minicnn.layers.base import Layer
from minicnn.layers.fusion import backward_chain, backward_fork, forward_chain
from minicnn.layers.residual import residual_backward, residual_forward


class _Collection(Layer):
    """Children given by position (named "0", "1", ...), as one mapping, or by keyword."""

    can_skip_dx = True

    def __init__(self, *layers: Layer | Mapping[str, Layer], **named: Layer) -> None:
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = {**layers[0], **named}
            layers = ()
        for name, layer in [*((str(i), layer) for i, layer in enumerate(layers)), *named.items()]:
            if not isinstance(layer, Layer):
                advice = (
                    f"write {layer.__name__}(...), with brackets, to make one"
                    if isinstance(layer, type)
                    else "pass layers one by one (unpack a list with *), or by name"
                )
                raise ConfigError(
                    f"{type(self).__name__} is made of layers, but {name!r} is {layer!r}: {advice}"
                )
            if not name or "." in name:
                raise ConfigError(
                    f"{type(self).__name__}: a child cannot be named {name!r}: state dicts join names by dots"
                )
            if hasattr(Layer, name):
                raise ConfigError(
                    f"{type(self).__name__}: a child cannot be named {name!r}, a Layer has that already"
                )
            setattr(self, name, layer)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Layer]:
        return (layer for _, layer in self.children())

    def __getitem__(self, index: int) -> Layer:
        return list(self)[index]

    def __setitem__(self, index: int, layer: Layer) -> None:
        setattr(self, [name for name, _ in self.children()][index], layer)


class Sequential(_Collection):
    """y = f_k(... f_2(f_1(x))). Sequential(Conv2d(...), ReLU()) or Sequential(conv1=Conv2d(...), ...)."""

    can_add_onto = True
    is_chain = True  # its backward's result is that of its first child

    def forward(self, x: Array) -> Array:
        return forward_chain(list(self.children()), x)

    def backward(self, dy: Array, need_dx: bool = True, onto: Array | None = None) -> Array | None:
        return backward_chain(list(self), dy, need_dx, onto)


class Residual(Layer):
    """y = body(x) + shortcut(x)  (He et al. 2015, "Deep residual learning", eq. 1 and 2).

    The shortcut is the identity, or a projection that gives it the body's shape.
    """

    can_skip_dx = True

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        self.body = body
        self.shortcut = Identity() if shortcut is None else shortcut

    def forward(self, x: Array) -> Array:
        return residual_forward(self._named_body(), self.shortcut, None, x)

    def forward_then_relu(self, x: Array, relu: ReLU) -> Array:
        """relu(forward(x)), in one pass where the body ends in a batch norm: see fusion.py."""
        return residual_forward(self._named_body(), self.shortcut, relu, x)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        body = [layer for _, layer in self._named_body()]
        return residual_backward(body, self.shortcut, None, dy, need_dx)

    def _named_body(self) -> list[tuple[str, Layer]]:
        """The body as a chain of layers, so that its last one can be fused with what follows."""
        plain = type(self.body) is Sequential and len(self.body) and "forward" not in vars(self.body)
        return list(self.body.children()) if plain else [("body", self.body)]


class Concat(_Collection):
    """y = the branches' outputs of the same x, one after another along the channels (axis 1)."""

    def forward(self, x: Array) -> Array:
        if not len(self):
            raise ConfigError("Concat needs at least one branch")
        parts = [branch(x) for branch in self]
        self.cache = [part.shape[1] for part in parts]
        return concatenate(parts)

    def backward(self, dy: Array, need_dx: bool = True) -> Array | None:
        return backward_fork(list(self), split(dy, self.take_cache()), need_dx)


def concatenate(parts: list[Array]) -> Array:
    """Arrays (N, C_i, ...) one after another along the channels -> (N, Σ C_i, ...)."""
    sizes = {(part.shape[0], *part.shape[2:]) for part in parts}
    if len(sizes) > 1:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ShapeError(
            f"the branches give {shapes}, which differ in more than their channels: check their padding and stride"
        )
    if len({part.dtype for part in parts}) == 1 and (
        kernel := kernel_for("concatenate", parts[0], Shaped(parts[0].shape))
    ):
        return kernel.forward(parts)
    return get_xp(*parts).concatenate(parts, axis=1)


def split(dy: Array, channels: list[int]) -> list[Array]:
    """The inverse of concatenate: views of dy, channels[i] wide each."""
    parts, start = [], 0
    for width in channels:
        parts.append(dy[:, start : start + width])
        start += width
    if start != dy.shape[1]:
        raise ShapeError(f"backward expects a gradient with {start} channels, got {dy.shape}")
    return parts
