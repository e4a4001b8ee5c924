"""Everything an object remembers, saved and put back.

A check runs the same forward hundreds of times. Dropout must draw the same mask each time,
batch norm must not drift, and a cache must not survive: so before every call the object is
put back to what it was, however it keeps its state.
"""

from __future__ import annotations

import random
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from minicnn.backend import Array, device_of

_OPAQUE = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type, str, bytes, int, float, complex)


class Snapshot:
    """The state of `root` and of all that it holds: attributes, lists, dictionaries, arrays, generators."""

    def __init__(self, root: Any) -> None:
        self._attributes: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._dicts: list[tuple[dict, dict]] = []
        self._lists: list[tuple[list, list]] = []
        self._arrays: list[tuple[Array, Array]] = []
        self._generators: list[tuple[Any, Any]] = []
        self._seen: set[int] = set()
        self._walk(root)

    def restore(self) -> None:
        """Put everything back, in place."""
        for live, saved in self._attributes:
            live.clear()
            live.update(saved)
        for live_dict, saved_dict in self._dicts:
            live_dict.clear()
            live_dict.update(saved_dict)
        for live_list, saved_list in self._lists:
            live_list[:] = saved_list
        for live_array, saved_array in self._arrays:
            live_array[...] = saved_array
        for generator, state in self._generators:
            generator.bit_generator.state = state

    def _walk(self, value: Any) -> None:
        if value is None or isinstance(value, _OPAQUE) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, np.ndarray):
            if value.flags.writeable and value.dtype != object:
                self._arrays.append((value, value.copy()))
        elif device_of(value) == "cuda":
            self._arrays.append((value, value.copy()))
        elif isinstance(value, np.random.Generator):
            self._generators.append((value, value.bit_generator.state))
        elif isinstance(value, dict):
            self._dicts.append((value, dict(value)))
            for item in value.values():
                self._walk(item)
        elif isinstance(value, list):
            self._lists.append((value, list(value)))
            for item in value:
                self._walk(item)
        elif isinstance(value, tuple):
            for item in value:
                self._walk(item)
        elif hasattr(value, "__dict__"):
            attributes = vars(value)
            if isinstance(attributes, dict):
                self._attributes.append((attributes, dict(attributes)))
                for item in attributes.values():
                    self._walk(item)


class GlobalRandomness:
    """The states of NumPy's and Python's global generators, which old-style layers draw from.

    Nothing of minicnn reads them; they are saved and put back so that such a layer draws the
    same mask in every evaluation, and so that a check leaves no trace.
    """

    def __init__(self) -> None:
        self._numpy = np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()

    def restore(self) -> None:
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)

    def was_used(self) -> bool:
        """Whether either generator has moved since."""
        now: Any = np.random.get_state()  # noqa: NPY002
        then: Any = self._numpy
        moved = now[2:] != then[2:] or not np.array_equal(now[1], then[1])
        return moved or random.getstate() != self._python


def convert_floats(root: Any, dtype: Any) -> None:
    """Every floating array (and every attribute that names a floating dtype) below `root` becomes dtype.

    For objects without an astype of their own; arrays inside tuples stay as they are.
    """
    seen: set[int] = set()
    converted: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # the old array too: it keeps the id alive

    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.dtype.kind != "f":
                return value
            if id(value) not in converted:
                converted[id(value)] = (value, value.astype(dtype))
            return converted[id(value)][1]
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.floating)):
            return type_like(value)
        walk(value)
        return value

    def type_like(value: Any) -> Any:
        if np.dtype(value).kind != "f":
            return value
        return np.dtype(dtype) if isinstance(value, np.dtype) else np.dtype(dtype).type

    def walk(value: Any) -> None:
        if value is None or isinstance(value, (*_OPAQUE, np.random.Generator)) or id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, dict):
            value.update({key: convert(item) for key, item in value.items()})
        elif isinstance(value, list):
            value[:] = [convert(item) for item in value]
        elif isinstance(value, tuple):
            for item in value:
                walk(item)
        elif isinstance(getattr(value, "__dict__", None), dict):
            attributes = vars(value)
            attributes.update({key: convert(item) for key, item in attributes.items()})

    walk(root)
