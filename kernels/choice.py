"""Which algorithm computes what: one table, which can be asked and overruled.

    minicnn.kernels.explain(model, x)               # what each operation takes for this input, and why
    with minicnn.kernels.using("reference"):        # everything by the readable NumPy definition
        model(x)

For every operation the table lists algorithms in order of preference. The first row that `can`
compute the case and that `wins` there is taken; the last resort is always the definition in
functional/. `using(name)` takes the rows of that name wherever they can be used, and leaves
operations that have no such row alone.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import device_of
from minicnn.errors import ConfigError, nearest
from minicnn.kernels.cuda_table import CUDA_TABLE
from minicnn.kernels.emulated import runner
from minicnn.kernels.table import TABLE, Row

# "im2col" is what the definition of convolution does; the two names are one.
DEFINITION = ("reference", "im2col")
_TABLES = {"cpu": TABLE, "cuda": CUDA_TABLE}
_ROWS = [row for table in _TABLES.values() for rows in table.values() for row in rows]
_NAMES = {row.algorithm for row in _ROWS} | {"auto", *DEFINITION}
_FLOAT32 = np.dtype(np.float32)


class Choice(NamedTuple):
    """What was taken for one operation."""

    operation: str
    case: Any
    algorithm: str
    why: str
    module: str | None  # where the kernels are called; None for the definition

    def __str__(self) -> str:
        return f"{self.operation} {self.case}: {self.algorithm} ({self.why})"


_forced: ContextVar[str] = ContextVar("minicnn_kernels_using", default="auto")
_record: ContextVar[list[Choice] | None] = ContextVar("minicnn_kernels_record", default=None)


@contextmanager
def using(algorithm: str) -> Iterator[None]:
    """Inside, this algorithm is taken wherever it can be: "reference", "im2col", "direct", "winograd", ...

    "reference" also switches fusion off: every layer computes what its text says. "auto" undoes an
    outer using(...).
    """
    if algorithm not in _NAMES:
        raise ConfigError(f"unknown algorithm {algorithm!r}: {nearest(str(algorithm), _NAMES)}")
    token = _forced.set(algorithm)
    try:
        yield
    finally:
        _forced.reset(token)


def is_reference() -> bool:
    """Whether the definitions are forced."""
    return _forced.get() in DEFINITION


def kernel_for(operation: str, x: Any, case: tuple) -> Any:
    """The module whose kernels compute this case, or None: then the definition does.

    x is any of the arrays. NumPy's float32 arrays have kernels on the CPU, CuPy's of both dtypes on
    the GPU; inside emulated() NumPy's take those.
    """
    if type(x) is not np.ndarray or runner() is not None:
        return _on_gpu(operation, x, case)
    if operation not in TABLE:
        return None
    if x.dtype is not _FLOAT32 and x.dtype != _FLOAT32:
        if _record.get() is not None:
            _write_down(Choice(operation, case, "reference", _why_not(x), None))
        return None
    choice = choose(operation, case, _forced.get())
    if _record.get() is not None:
        _write_down(choice)
    return None if choice.module is None else _load(choice.module)


def _on_gpu(operation: str, x: Any, case: tuple) -> Any:
    """kernel_for an array of CuPy's, or of NumPy's where the CUDA kernels stand in."""
    usable = (device_of(x) == "cuda" or runner() is not None) and x.dtype in (np.float32, np.float64)
    if not usable:
        choice = Choice(operation, case, "reference", _why_not(x), None)
    else:
        choice = choose(operation, case, _forced.get(), "cuda")
    if _record.get() is not None:
        _write_down(choice)
    return None if choice.module is None else _load(choice.module, "cuda_calls")


@lru_cache(maxsize=4096)
def choose(operation: str, case: Any, forced: str = "auto", device: str = "cpu") -> Choice:
    """Look the case up in the table of a device."""
    rows = _TABLES[device].get(operation, ())
    if forced == "reference" or (forced in DEFINITION and all(row.algorithm != forced for row in rows)):
        return Choice(operation, case, "reference", f'asked for by using("{forced}")', None)
    if forced != "auto" and any(row.algorithm == forced for row in rows):
        able = [row for row in rows if row.algorithm == forced and row.can(case)]
        for row in [row for row in able if row.wins(case)] or able:
            return _taken(operation, case, row, f'asked for by using("{forced}")')
        return Choice(operation, case, "reference", f"{forced} cannot compute this", None)
    for row in rows:
        if row.can(case) and row.wins(case):
            return _taken(operation, case, row, row.why)
    return Choice(operation, case, "reference", "no kernel for this, or too small to be worth one", None)


def _taken(operation: str, case: Any, row: Row, why: str) -> Choice:
    return Choice(operation, case, row.algorithm, why, row.module)


@lru_cache
def _load(module: str, folder: str = "calls") -> Any:
    return importlib.import_module(f"minicnn.kernels.{folder}.{module}")


# ---- asking


def explain(subject: Any, x: Any) -> list[Choice]:
    """What every operation of a layer or a model takes for the input x, in order of computation.

    The forward pass is run on a copy, so the model stays as it was. Print the items.
    """
    with _recording() as record:
        copy.deepcopy(subject)(x)
    return record


@contextmanager
def _recording() -> Iterator[list[Choice]]:
    record: list[Choice] = []
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


def _write_down(choice: Choice) -> None:
    record = _record.get()
    if record is not None:
        record.append(choice)


def _why_not(x: Any) -> str:
    if type(x) is not np.ndarray:
        return f"{type(x).__module__}.{type(x).__name__} has no kernels"
    return f"{x.dtype}: kernels compute in float32"
