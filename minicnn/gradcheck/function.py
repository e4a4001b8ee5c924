"""check_function: a pair of pure functions, forward -> (y, cache) and backward(dy, cache)."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.backend import device_of, to_device
from minicnn.errors import ConfigError, DTypeError
from minicnn.gradcheck.causes import add_causes
from minicnn.gradcheck.engine import Examination, Settings
from minicnn.gradcheck.precision import float32_findings
from minicnn.gradcheck.report import Report
from minicnn.gradcheck.subject import BadOutput, Repeatable, Subject, call

Forward = Callable[..., tuple[Any, Any]]
Backward = Callable[..., Any]


def check_function(
    forward: Forward,
    backward: Backward,
    *arrays: Any,
    name: str | None = None,
    rng: np.random.Generator | int = 0,
    directions: int = 2,
    elements: bool = False,
    element_limit: int = 2048,
    samples_independent: bool | None = None,
    **options: Any,
) -> Report:
    """Check a pair of functions: y, cache = forward(*arrays, **options); gradients = backward(dy, cache).

    arrays: floating arrays are checked, whatever their shapes; None (a bias left out) and integer
    arrays after the first (labels) are passed on. backward returns one gradient per floating array
    in that order, with None where an argument was None; a single one may come bare.

    directions: random directions per array. elements: look at every element (of at most
    element_limit), not only where a projection disagrees. samples_independent: True if the samples
    of a batch must not see each other. rng: a Generator or a seed; the same seed, the same check.

    float32 arrays are checked through float64 copies, and the float32 results compared with those.
    Raises DTypeError for integer or complex input, ConfigError for what cannot be called.
    """
    _require_callable(forward, backward)
    _require_real(arrays, _argument_names(forward, len(arrays)))
    subject = FunctionSubject(forward, backward, arrays, options, name)
    examination = Examination(
        subject,
        np.random.default_rng(rng),
        Settings(directions, elements, element_limit=element_limit, samples_independent=samples_independent),
    )
    report = examination.run()
    if any(getattr(array, "dtype", None) == np.float32 for array in arrays):
        single = FunctionSubject(forward, backward, arrays, options, name, dtype=None)
        report.findings += float32_findings(single, examination)
    return add_causes(report, examination)


class FunctionSubject(Subject):
    """A pure pair as a Subject. dtype None keeps the arrays as they were given."""

    keeps_caches = True

    def __init__(
        self,
        forward: Forward,
        backward: Backward,
        arguments: Sequence[Any],
        options: dict[str, Any],
        name: str | None,
        dtype: Any = np.float64,
    ) -> None:
        self._forward, self._backward = forward, backward
        self._arguments, self._options = list(arguments), options
        self._checked = [i for i, a in enumerate(arguments) if _is_float(a)]
        self._slots = [i for i, a in enumerate(arguments) if a is None or _is_float(a)]
        self._devices = [device_of(arguments[i]) for i in self._checked]
        names = _argument_names(forward, len(arguments))
        known = getattr(forward, "__name__", "<lambda>").removesuffix("_forward")
        self.name = name or ("the function" if known == "<lambda>" else known)
        self.names = [names[i] for i in self._checked]
        self.values = [np.array(to_device(arguments[i], "cpu"), dtype=dtype) for i in self._checked]
        self.constants = [to_device(a, "cpu") for i, a in enumerate(arguments) if i not in self._slots]
        self._live: list[Any] = []
        self._repeatable = Repeatable()
        self._settled = False

    def begin(self) -> None:
        self._repeatable.rewind()

    def forward(self, arrays: Sequence[np.ndarray]) -> tuple[Any, Any]:
        self._live = [to_device(array, device) for array, device in zip(arrays, self._devices)]
        arguments = list(self._arguments)
        for position, array in zip(self._checked, self._live):
            arguments[position] = array
        result = call("forward", self._forward, *arguments, **self._options)
        if not isinstance(result, tuple) or len(result) != 2:
            raise BadOutput(
                f"forward returned {_describe(result)}; check_function expects a pair (y, cache), "
                "where cache is whatever backward(dy, cache) needs"
            )
        return result[1], result[0]

    def backward(self, token: Any, dy: np.ndarray) -> list[Any]:
        dy = to_device(dy, self._devices[0])
        result = call("backward", self._backward, dy, token)
        if not self._settled:
            self._settled = True
            self._repeatable.settle()
        return self._gradients(result)

    def _gradients(self, result: Any) -> list[Any]:
        wanted = [self._slots.index(i) for i in self._checked]
        if isinstance(result, dict):
            return [next((result[k] for k in (n, f"d{n}") if k in result), None) for n in self.names]
        if not isinstance(result, (tuple, list)):
            return [result] + [None] * (len(wanted) - 1)
        if len(result) == len(self._slots):  # None where an argument was None
            return [result[i] for i in wanted]
        if len(result) == len(self._arguments):  # None where an argument was integer, too
            return [result[i] for i in self._checked]
        return [result[i] if i < len(result) else None for i in range(len(self._checked))]

    def with_fewer_samples(self) -> Subject | None:
        first = self.values[0]
        if first.ndim == 0 or len(first) < 2:
            return None
        smaller = copy.copy(self)
        smaller.values = [first[:-1].copy(), *self.values[1:]]
        smaller._arguments = [  # labels lose their last sample too
            a[:-1] if getattr(a, "ndim", 0) and not _is_float(a) and len(a) == len(first) else a
            for a in self._arguments
        ]
        return smaller

    def live(self) -> list[np.ndarray]:
        return [to_device(array, "cpu") for array in self._live]


def _require_callable(forward: Any, backward: Any) -> None:
    for role, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            raise ConfigError(
                f"{role} is a {type(function).__name__} and cannot be called: check_function takes the two "
                "functions first, check_function(forward, backward, x, ...)"
            )


def _require_real(arrays: Sequence[Any], names: Sequence[str]) -> None:
    for position, (array, name) in enumerate(zip(arrays, names)):
        if array is None:
            continue
        if not hasattr(array, "dtype"):
            raise DTypeError(
                f"{name} is a {type(array).__name__}, not an array: pass numpy.asarray({name}, dtype=float); "
                "settings that are not arrays go in as keywords or in a lambda"
            )
        kind = array.dtype.kind
        if kind == "c" or (kind != "f" and kind not in "iub"):
            raise DTypeError(
                f"{name} holds {array.dtype} values; the check needs real floating-point numbers"
            )
        if kind in "iub" and position == 0:
            raise DTypeError(
                f"{name} holds {array.dtype} values, and a gradient with respect to integers does not exist: "
                f"pass {name}.astype(numpy.float64). (Integer arrays after the first, such as labels, are passed on.)"
            )
        if kind == "f" and not np.all(np.isfinite(to_device(array, "cpu"))):
            raise ConfigError(f"{name} contains NaN or infinite values: check at a finite input")
    if not any(_is_float(array) for array in arrays):
        raise ConfigError(
            "there is no array to check: pass at least one floating-point array after the two functions"
        )


def _argument_names(function: Any, count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in kinds]
    return [names[i] if i < len(names) else f"argument {i}" for i in range(count)]


def _is_float(array: Any) -> bool:
    return getattr(getattr(array, "dtype", None), "kind", "") == "f"


def _describe(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {len(result)}"
    return f"a {type(result).__name__}"
