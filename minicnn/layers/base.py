"""Parameter, Buffer and Layer: what every layer and every network is made of.

A Layer owns its parameters (trained), its buffers (remembered, not trained), its child
layers, and one slot for the cache that forward leaves to backward. Leaves and containers
are the same class: a network is a Layer whose attributes are Layers. The order in which
attributes are assigned is the order of parameters, buffers and children everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minicnn.backend import Array, device_of, get_xp, to_device
from minicnn.errors import CacheError, DTypeError, ShapeError
from minicnn.layers.inference import is_inference

if TYPE_CHECKING:
    from minicnn.layers.state import LoadReport
    from minicnn.layers.summary import Summary
    from minicnn.layers.watch import Record


class Parameter:
    """A trained array, `value`, and the gradient of the loss with respect to it, `grad`.

    Gradients add up over backward passes until zero_grad(). `grad` reads as zeros while
    nothing has been accumulated; `has_grad` tells the two apart, and optimizers skip a
    parameter that no gradient has reached, as PyTorch's do.
    """

    def __init__(self, value: Array, grad: Array | None = None) -> None:
        self.value = value
        self.frozen = False  # a frozen parameter accumulates nothing and is not updated
        self.retired = False  # no longer part of the layer it was made for: see Layer.__setattr__
        self._grad: Array | None = None
        if grad is not None:
            self.grad = grad

    @property
    def grad(self) -> Array:
        return self._grad if self._grad is not None else get_xp(self.value).zeros_like(self.value)

    @grad.setter
    def grad(self, grad: Array) -> None:
        if grad.shape != self.value.shape:
            raise ShapeError(
                f"a gradient of shape {grad.shape} does not fit a parameter of shape {self.shape}"
            )
        self._grad = grad

    @property
    def has_grad(self) -> bool:
        return self._grad is not None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    @property
    def size(self) -> int:
        return self.value.size

    def accumulate(self, dvalue: Array | None) -> None:
        """Add one backward pass's gradient. None (not computed, because frozen) adds nothing."""
        if dvalue is None or self.frozen:
            return
        # A new array, not +=: whoever holds the old gradient keeps what they saw.
        self.grad = dvalue if self._grad is None else self._grad + dvalue

    def zero_grad(self) -> None:
        self._grad = None

    def replace(self, move: Callable[[Array], Array]) -> None:
        """Put another array in place of the value (another device, another dtype)."""
        self.value = move(self.value)
        if self._grad is not None:
            self._grad = move(self._grad)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype}{', frozen' if self.frozen else ''})"


class Buffer:
    """An array that a layer remembers and saves but does not train, such as a running mean."""

    def __init__(self, value: Array) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Buffer(shape={self.value.shape}, dtype={self.value.dtype})"


class Layer:
    """The base class of every layer, block and network.

    A subclass defines forward(x), which stores what backward needs in `self.cache`, and
    backward(dy), which takes it with `self.take_cache()`, accumulates the gradients of its
    parameters and returns dx. A container stores nothing: its children do.
    """

    training: bool = True
    # Whether backward takes need_dx=False and then saves work (layers with weights, containers).
    can_skip_dx: bool = False
    # Whether backward takes onto=array and then returns dx + array, in that array's memory where it can.
    # Only a class that says so itself counts: a subclass may have another backward.
    can_add_onto: bool = False
    _cache: Any = None

    def forward(self, x: Array) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, x)")

    def backward(self, dy: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} must define backward(self, dy)")

    def __call__(self, x: Array) -> Any:
        return self.forward(x)

    # ---- the cache: one slot, filled by forward, emptied by backward

    @property
    def cache(self) -> Any:
        """What the last forward left for backward; None when there is nothing."""
        return self._cache

    @cache.setter
    def cache(self, cache: Any) -> None:
        object.__setattr__(self, "_cache", None if is_inference() else cache)

    def take_cache(self) -> Any:
        """The cache, leaving the slot empty. Raises CacheError when it is empty already."""
        cache = self.read_cache()
        object.__setattr__(self, "_cache", None)
        return cache

    def read_cache(self) -> Any:
        """The cache, left in its slot. Raises CacheError when the slot is empty."""
        if self._cache is None:
            raise CacheError(
                f"{self!r}.backward needs the cache of a forward pass, and there is none: call forward(x) "
                "first, once for every backward, and not inside `with minicnn.inference():`. If this layer "
                "object stands in two places of one network, make two layers: a layer has one cache."
            )
        return self._cache

    def signature(self) -> tuple[Array, ...]:
        """The active set of the last forward, in order: ReLU's masks, max pooling's argmax.

        While two inputs give the same signature, the network is smooth between them. Smooth
        layers have nothing to tell. Raises CacheError when a layer with kinks has no cache.
        """
        return tuple(part for _, child in self.children() for part in child.signature())

    # ---- parameters, buffers, children: in the order of attribute assignment

    def __setattr__(self, name: str, value: Any) -> None:
        # A parameter that leaves the model must not be trained any more (an optimizer that still
        # holds it raises on its next step); one that moves to another layer is welcome again.
        if name in ("cache", "_cache"):  # set in every pass, and never a parameter
            object.__setattr__(self, name, value)
            return
        old = vars(self).get(name)
        if old is not None and old is not value:
            _set_retired(old, True)
        _set_retired(value, False)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        _set_retired(vars(self).get(name), True)
        object.__delattr__(self, name)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """(name, layer) of every direct child."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Layer))

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """(dotted name, layer) of this layer (its name is the prefix) and everything below it."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_layers(dotted(prefix, name))

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """(dotted name, layer) of every layer that has no children: those that compute."""
        return ((name, layer) for name, layer in self.named_layers() if not any(layer.children()))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, Parameter) of all parameters; a shared one is yielded once."""
        seen: set[int] = set()
        for name, parameter in _named(self, Parameter):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """All parameters of this layer and its children, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(dotted name, Buffer) of all buffers."""
        return _named(self, Buffer)

    # ---- state dicts

    def state_dict(self) -> dict[str, Array]:
        """Name -> a C-contiguous copy of the array, in torchvision's order."""
        from minicnn.layers.state import named_state

        return {name: holder.value.copy(order="C") for name, holder in named_state(self)}

    def load_state_dict(self, state: Mapping[str, Array], strict: bool = True) -> LoadReport:
        """Write the arrays into parameters and buffers, in place.

        With strict=True any missing, unexpected or mis-shaped name raises WeightsError and
        nothing is changed; with strict=False what fits is loaded. Returns what did not fit.
        """
        from minicnn.layers.state import load_state

        return load_state(self, state, strict)

    # ---- modes and moves: each returns the layer itself

    def train(self, mode: bool = True) -> Self:
        """Training mode, for this layer and all below: dropout drops, batch norm uses the batch."""
        for _, layer in self.named_layers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode: dropout is the identity, batch norm uses its running statistics."""
        return self.train(False)

    def freeze(self) -> Self:
        """Stop training these parameters. Modes do not change: a frozen batch norm in training
        mode still normalises with the batch; call eval() on it to use the running statistics."""
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        return self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> Self:
        for parameter in self.parameters():
            parameter.frozen = frozen
        return self

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.zero_grad()

    def to(self, device: str) -> Self:
        """Move parameters and buffers to "cpu" or "cuda". Make the optimizer afterwards."""
        return self._replace(lambda array: to_device(array, device))

    def astype(self, dtype: Any) -> Self:
        """Convert to float32 or float64; integer buffers stay integers. Make the optimizer afterwards."""
        if np.dtype(dtype).name not in ("float32", "float64"):
            raise DTypeError(f"layers compute in float32 or float64, not in {np.dtype(dtype)}")
        return self._replace(lambda array: array.astype(dtype) if array.dtype.kind == "f" else array)

    def _replace(self, move: Callable[[Array], Array]) -> Self:
        for parameter in self.parameters():
            parameter.replace(move)
        for _, buffer in self.named_buffers():
            buffer.value = move(buffer.value)
        for _, layer in self.named_layers():
            layer._cache = None  # it belongs to the old device or dtype
        return self

    @property
    def device(self) -> str:
        """Where the first parameter or buffer lies: "cpu" or "cuda"; "cpu" if there is none."""
        holders: list[Any] = [*self.parameters(), *(buffer for _, buffer in self.named_buffers())]
        return device_of(holders[0].value) if holders else "cpu"

    # ---- looking inside

    def watch(self) -> AbstractContextManager[dict[str, Record]]:
        """A context that records x, y, dy and dx of every leaf by name."""
        from minicnn.layers.watch import watch

        return watch(self)

    def summary(self, input_shape: tuple[int, ...]) -> Summary:
        """A table of layers, output shapes, parameters, memory and multiply-adds.

        input_shape is that of one image, (C, H, W), of one row, (D,), or of a batch, (N, ...).
        """
        from minicnn.layers.summary import summarize

        return summarize(self, input_shape)

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Multiply-adds of one forward pass; only products with weights are counted."""
        return 0

    def extra_repr(self) -> str:
        """The constructor arguments, as repr shows them."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n  ".join([f"{type(self).__name__}(", *children]) + "\n)"


def value_of(parameter: Parameter | None) -> Array | None:
    """The parameter's array; None for a bias that is switched off."""
    return None if parameter is None else parameter.value


def is_trained(parameter: Parameter | None) -> bool:
    """Whether backward should compute this parameter's gradient."""
    return parameter is not None and not parameter.frozen


def backward_into(layer: Layer, dy: Array, need_dx: bool) -> Array | None:
    """Backward through the layer where the input enters.

    With need_dx=False a layer that can skip dx does so; the result is None either way.
    """
    if need_dx:
        return layer.backward(dy)
    if layer.can_skip_dx:
        layer.backward(dy, need_dx=False)  # type: ignore[call-arg]
    else:
        layer.backward(dy)
    return None


def dotted(prefix: str, name: str) -> str:
    """ "layer1" and "conv1" -> "layer1.conv1". A child without a name, as Checkpoint's, bears its parent's."""
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _named(layer: Layer, kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in vars(layer).items():
        if isinstance(value, kind):
            yield dotted(prefix, name), value
    for name, child in layer.children():
        yield from _named(child, kind, dotted(prefix, name))


def _set_retired(value: Any, retired: bool) -> None:
    if isinstance(value, Parameter):
        value.retired = retired
    elif isinstance(value, Layer):
        for parameter in value.parameters():
            parameter.retired = retired
