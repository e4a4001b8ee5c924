"""One view of every style in which layers keep their parameters and gradients.

Parameter objects    named_parameters() or parameters() giving objects with .value (or
                     .data) and .grad: minicnn's own style
dictionaries         layer.params["W"] and layer.grads["W"]: CS231n's style
plain attributes     self.W and self.dW (also grad_W, W_grad, dweight for weight)
pure functions       forward(x, params) -> (y, cache), backward(dy, cache) -> (dx, grads):
                     wrap them with DictLayer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.backend import device_of
from minicnn.errors import ConfigError


@dataclass
class Slot:
    """One trained array of a layer: how to reach its value and its gradient."""

    name: str
    read: Callable[[], Any]
    write: Callable[[np.ndarray], None]
    grad: Callable[[], Any]


@dataclass
class LayerView:
    """What the checker knows of a layer: its trained arrays, and whether gradients add up.

    `accumulates` is True where the style promises that gradients accumulate until zero_grad().
    """

    style: str
    slots: list[Slot]
    accumulates: bool


class DictLayer:
    """A layer made of two pure functions over a dictionary of parameters.

    forward(x, params) -> (y, cache); backward(dy, cache) -> (dx, grads) with grads a
    dictionary of the same names as params.
    """

    def __init__(
        self,
        forward: Callable[[Any, dict[str, Any]], tuple[Any, Any]],
        backward: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
        params: dict[str, Any],
        name: str | None = None,
    ) -> None:
        self._functions = (forward, backward)
        self.params = dict(params)
        self.grads: dict[str, Any] = {}
        self._cache: Any = None
        self._name = name or getattr(forward, "__name__", "DictLayer")

    def forward(self, x: Any) -> Any:
        y, self._cache = self._functions[0](x, self.params)
        return y

    def backward(self, dy: Any) -> Any:
        dx, grads = self._functions[1](dy, self._cache)
        self.grads = dict(grads)
        return dx

    def __repr__(self) -> str:
        return f"DictLayer({self._name})"


def view(layer: Any, try_out: Callable[[], Any] | None = None) -> LayerView:
    """The view of a layer, in the first style that fits.

    try_out() runs one forward and backward on a copy and returns that copy: plain attributes
    such as self.dW often do not exist before. Raises ConfigError for a layer that cannot be read.
    """
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise ConfigError(
                f"{layer!r} has no method {method}(): a layer needs forward(x) and backward(dy). "
                "For a pair of functions use check_function, or gradcheck.DictLayer for functions of (x, params)"
            )
    if callable(getattr(layer, "named_parameters", None)):
        return _from_parameters(list(layer.named_parameters()))
    parameters = getattr(layer, "parameters", None)
    if callable(parameters) or isinstance(parameters, (list, tuple)):
        found = list(parameters() if callable(parameters) else parameters)
        if all(hasattr(item, "grad") for item in found):
            return _from_parameters(
                [(getattr(p, "name", None) or f"parameter {i}", p) for i, p in enumerate(found)]
            )
    if isinstance(getattr(layer, "params", None), dict):
        return _from_dictionaries(layer)
    return _from_attributes(layer, try_out() if try_out else layer)


def _from_parameters(named: list[tuple[str, Any]]) -> LayerView:
    slots = []
    for name, parameter in named:
        if getattr(parameter, "frozen", False):
            continue
        field = "value" if hasattr(parameter, "value") else "data"

        def read(parameter: Any = parameter, field: str = field) -> Any:
            return getattr(parameter, field)

        def write(value: np.ndarray, parameter: Any = parameter, field: str = field) -> None:
            _put(getattr(parameter, field), value, lambda new: setattr(parameter, field, new))

        def grad(parameter: Any = parameter) -> Any:
            return parameter.grad if getattr(parameter, "has_grad", True) else None

        slots.append(Slot(name, read, write, grad))
    return LayerView("Parameter objects", slots, accumulates=True)


def _from_dictionaries(layer: Any) -> LayerView:
    slots = []
    for name, value in layer.params.items():
        if not _is_float_array(value):
            continue

        def read(name: str = name) -> Any:
            return layer.params[name]

        def write(value: np.ndarray, name: str = name) -> None:
            _put(layer.params[name], value, lambda new: layer.params.__setitem__(name, new))

        def grad(name: str = name) -> Any:
            grads = getattr(layer, "grads", None) or {}
            return next((grads[key] for key in (name, *_gradient_names(name)) if key in grads), None)

        slots.append(Slot(str(name), read, write, grad))
    return LayerView(
        "dictionaries params and grads", slots, accumulates=callable(getattr(layer, "zero_grad", None))
    )


def _from_attributes(layer: Any, tried: Any) -> LayerView:
    after = getattr(tried, "__dict__", {})
    slots = []
    # Only arrays that were there before forward: a cached self.x with its self.dx is no parameter.
    for name, value in getattr(layer, "__dict__", {}).items():
        gradient = next((key for key in _gradient_names(name) if key in after), None)
        if not _is_float_array(value) or gradient is None:
            continue

        def read(name: str = name) -> Any:
            return getattr(layer, name)

        def write(value: np.ndarray, name: str = name) -> None:
            _put(getattr(layer, name), value, lambda new: setattr(layer, name, new))

        def grad(gradient: str = gradient) -> Any:
            return getattr(layer, gradient, None)

        slots.append(Slot(name, read, write, grad))
    return LayerView("plain attributes", slots, accumulates=callable(getattr(layer, "zero_grad", None)))


def _gradient_names(name: str) -> tuple[str, ...]:
    bare = name.lstrip("_")
    lead = name[: len(name) - len(bare)]
    return tuple(
        lead + form for form in (f"d{bare}", f"d_{bare}", f"grad_{bare}", f"{bare}_grad", f"grad{bare}")
    )


def _put(target: Any, value: np.ndarray, replace: Callable[[Any], None]) -> None:
    """Write in place where possible, so that whoever shares the array sees it."""
    if device_of(target) == "cuda" or (
        isinstance(target, np.ndarray) and target.flags.writeable and target.ndim
    ):
        target[...] = _like(target, value)
    else:
        replace(value)


def _like(target: Any, value: np.ndarray) -> Any:
    from minicnn.backend import to_device

    return to_device(value, device_of(target))


def _is_float_array(value: Any) -> bool:
    return device_of(value) == "cuda" or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
