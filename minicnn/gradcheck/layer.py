"""check_layer: anything with forward(x), backward(dy) and parameters, ours or a student's."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.backend import to_device
from minicnn.errors import ConfigError, DTypeError
from minicnn.gradcheck.adapters import LayerView, view
from minicnn.gradcheck.causes import add_causes
from minicnn.gradcheck.engine import Examination, Settings
from minicnn.gradcheck.precision import float32_findings
from minicnn.gradcheck.report import Report
from minicnn.gradcheck.snapshot import Snapshot, convert_floats
from minicnn.gradcheck.subject import (
    ActiveSet,
    CodeRaised,
    Repeatable,
    Subject,
    as_active,
    call,
)


def check_layer(
    layer: Any,
    x: Any,
    *,
    name: str | None = None,
    rng: np.random.Generator | int = 0,
    directions: int = 2,
    elements: bool = False,
    element_limit: int = 2048,
    samples_independent: bool | None = None,
    accumulates: bool | None = None,
) -> Report:
    """Check a layer, a block or a network at an input, for its x and all its parameters.

    layer: an object with forward(x) and backward(dy); where its parameters and gradients are found
    is told in gradcheck.adapters. It is checked in its present mode (train or eval), as a float64
    copy: the layer itself is left as it was. x: an array, or a shape to draw a random one of.

    accumulates: whether gradients must add up over backwards; None lets the layer's style decide.
    The rest as in check_function. Raises DTypeError for integer input, ConfigError for an object
    that is not a layer.
    """
    rng = np.random.default_rng(rng)
    _require_layer(layer)
    x = as_input(layer, x, rng)
    subject = LayerSubject(layer, x, name, accumulates=accumulates)
    examination = Examination(
        subject,
        rng,
        Settings(directions, elements, element_limit=element_limit, samples_independent=samples_independent),
    )
    report = examination.run()
    if has_single(layer, x):
        report.findings += float32_findings(LayerSubject(layer, x, name, dtype=None), examination)
    return add_causes(report, examination)


class LayerSubject(Subject):
    """A copy of a layer as a Subject: arrays are x and its parameters. dtype None keeps its precision."""

    def __init__(
        self,
        layer: Any,
        x: np.ndarray,
        name: str | None,
        dtype: Any = np.float64,
        accumulates: bool | None = None,
    ) -> None:
        self.layer = duplicate(layer)
        if dtype is not None:
            to_dtype(self.layer, dtype)
        self._device = _device(self.layer)
        self.view: LayerView = view(self.layer, lambda: self._try_out(x.astype(dtype or x.dtype)))
        zero_gradients(self.layer, self.view)
        self.name = name or describe(layer)
        self.names = ["x", *(slot.name for slot in self.view.slots)]
        parameters = [to_device(slot.read(), "cpu") for slot in self.view.slots]
        self.values = [np.array(x, dtype=dtype), *(np.array(p, dtype=dtype) for p in parameters)]
        self.composite = bool(list(children_of(self.layer)))
        self.knows_active_set = callable(getattr(self.layer, "signature", None)) and _all_tell(self.layer)
        self.accumulates = self.view.accumulates if accumulates is None else accumulates
        self._repeatable = Repeatable()
        self._settled = False
        self._x: Any = None
        self._state = Snapshot(self.layer)

    def begin(self) -> None:
        self._state.restore()
        self._repeatable.rewind()

    def forward(self, arrays: Sequence[np.ndarray]) -> tuple[Any, Any]:
        self._x = to_device(arrays[0], self._device)
        for slot, array in zip(self.view.slots, arrays[1:]):
            slot.write(array)
        return None, call("forward", self.layer.forward, self._x)

    def backward(self, token: Any, dy: np.ndarray) -> list[Any]:
        dx = call("backward", self.layer.backward, to_device(dy, self._device))
        if not self._settled:
            self._settled = True
            self._repeatable.settle()
        if isinstance(dx, tuple) and len(dx) == 2 and isinstance(dx[1], dict):
            dx, grads = dx  # (dx, {"W": dW}) without a grads attribute
            return [dx, *(grads.get(slot.name, slot.grad()) for slot in self.view.slots)]
        if isinstance(dx, (tuple, list)) and len(dx) == 1 + len(self.view.slots):
            return list(dx)
        return [dx, *(slot.grad() for slot in self.view.slots)]

    def with_fewer_samples(self) -> Subject | None:
        if self.values[0].ndim == 0 or len(self.values[0]) < 2:
            return None
        smaller = copy.copy(self)
        smaller.values = [self.values[0][:-1].copy(), *self.values[1:]]
        return smaller

    def live(self) -> list[np.ndarray]:
        return [to_device(a, "cpu") for a in (self._x, *(slot.read() for slot in self.view.slots))]

    def active(self) -> ActiveSet | None:
        return as_active(self.layer.signature()) if self.knows_active_set else None

    def _try_out(self, x: np.ndarray) -> Any:
        """A copy that has run once, to see which attributes backward makes; or the layer, if that fails."""
        tried = duplicate(self.layer)
        try:
            y = call("forward", tried.forward, to_device(x.copy(), self._device))
            call("backward", tried.backward, y * 0 + 1)
        except (CodeRaised, TypeError):
            return self.layer
        return tried


# ---- layers by duck typing


def children_of(layer: Any) -> Iterator[tuple[str, Any]]:
    """(name, child) of the layers inside a layer: its children() if it has them, else its attributes."""
    if callable(getattr(layer, "children", None)):
        for item in layer.children():
            yield item if isinstance(item, tuple) else (type(item).__name__, item)
        return
    for name, value in getattr(layer, "__dict__", {}).items():
        if is_layer(value):
            yield name, value
        elif isinstance(value, (list, tuple)):
            yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if is_layer(item))
        elif isinstance(value, dict):
            yield from ((f"{name}.{key}", item) for key, item in value.items() if is_layer(item))


def is_layer(value: Any) -> bool:
    return all(callable(getattr(value, method, None)) for method in ("forward", "backward"))


def describe(layer: Any) -> str:
    """One line for a layer: its repr if that is short, else its class."""
    text = repr(layer)
    short = "\n" not in text and len(text) <= 100 and " object at 0x" not in text
    return text if short else type(layer).__name__


def duplicate(layer: Any) -> Any:
    try:
        return copy.deepcopy(layer)
    except Exception as error:
        raise ConfigError(
            f"{describe(layer)} cannot be copied ({error}), and the check works on a copy: keep open files, locks "
            "and generators (yield) out of the layer"
        ) from error


def to_dtype(layer: Any, dtype: Any) -> None:
    if callable(getattr(layer, "astype", None)):
        layer.astype(dtype)
    else:
        convert_floats(layer, dtype)


def as_input(layer: Any, x: Any, rng: np.random.Generator) -> np.ndarray:
    """x as given, or drawn from a normal distribution if it is a shape."""
    if isinstance(x, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in x):
        if any(n < 0 for n in x):
            raise ConfigError(f"the input shape {tuple(x)} has a negative size")
        drawn = rng.standard_normal(tuple(x))
        return drawn.astype(np.float32) if has_single(layer, None) else drawn
    if not hasattr(x, "dtype"):
        raise DTypeError(
            f"x is a {type(x).__name__}: pass a NumPy array, or the shape of a random one, such as (2, 3, 8, 8)"
        )
    x = to_device(x, "cpu")
    if x.dtype.kind != "f":
        raise DTypeError(
            f"x holds {x.dtype} values, and a gradient with respect to them does not exist: "
            "pass x.astype(numpy.float64)"
        )
    if not np.all(np.isfinite(x)):
        raise ConfigError("x contains NaN or infinite values: check at a finite input")
    return x


def has_single(layer: Any, x: np.ndarray | None) -> bool:
    """Whether float32 is in use: in x or, where there is no x yet, in the parameters."""
    if x is not None:
        return x.dtype == np.float32
    return any(getattr(slot.read(), "dtype", None) == np.float32 for slot in view(layer).slots)


def zero_gradients(layer: Any, seen: LayerView) -> None:
    if callable(getattr(layer, "zero_grad", None)):
        call("zero_grad", layer.zero_grad)
        return
    for slot in seen.slots:
        gradient = slot.grad()
        if isinstance(gradient, np.ndarray) and gradient.flags.writeable:
            gradient[...] = 0


def _all_tell(layer: Any) -> bool:
    """Whether every layer inside has a signature(): one that has none makes the whole opaque."""
    return callable(getattr(layer, "signature", None)) and all(
        _all_tell(child) for _, child in children_of(layer)
    )


def _device(layer: Any) -> str:
    device = getattr(layer, "device", "cpu")
    return device if device in ("cpu", "cuda") else "cpu"


def _require_layer(layer: Any) -> None:
    if isinstance(layer, type):
        raise ConfigError(f"{layer.__name__} is a class: pass an object, such as {layer.__name__}(...)")
    view(layer)
