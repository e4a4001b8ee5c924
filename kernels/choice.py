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

from minicnn.errors import ConfigError, nearest
from minicnn.kernels.table import TABLE, Row

# "im2col" is what the definition of convolution does; the two names are one.
DEFINITION = ("reference", "im2col")
_NAMES = {row.algorithm for rows in TABLE.values() for row in rows} | {"auto", *DEFINITION}
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

    x is any of the arrays; only NumPy's float32 arrays have kernels here.
    """
    if type(x) is not np.ndarray or (x.dtype is not _FLOAT32 and x.dtype != _FLOAT32):
        if _record.get() is not None:
            _write_down(Choice(operation, case, "reference", _why_not(x), None))
        return None
    choice = choose(operation, case, _forced.get())
    if _record.get() is not None:
        _write_down(choice)
    return None if choice.module is None else _load(choice.module)


@lru_cache(maxsize=4096)
def choose(operation: str, case: Any, forced: str = "auto") -> Choice:
    """Look the case up in the table."""
    rows = TABLE[operation]
    if forced in DEFINITION:
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
def _load(module: str) -> Any:
    return importlib.import_module(f"minicnn.kernels.calls.{module}")


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
        return f"{type(x).__module__}.{type(x).__name__} has no CPU kernels"
    return f"{x.dtype}: kernels compute in float32"
