"""Where a random generator stands, as plain numbers that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.errors import DataError


def snapshot(rng: np.random.Generator) -> dict[str, Any]:
    """The state of the generator's bit generator; arrays become lists."""
    return _plain(rng.bit_generator.state)


def restore(rng: np.random.Generator, state: Any) -> None:
    """Set the generator to a snapshot. Raises DataError when it is of another kind, or none."""
    kind = type(rng.bit_generator).__name__
    given = state.get("bit_generator") if isinstance(state, Mapping) else None
    if given != kind:
        raise DataError(
            f"the state belongs to the generator {given}, this one is {kind}: make it as it was made then, "
            "such as by np.random.default_rng(seed)"
        )
    try:
        rng.bit_generator.state = _arrays(state)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise DataError(f"the state of the random generator is damaged: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [int(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _arrays(item) for key, item in value.items()}
    return np.array(value, np.uint64) if isinstance(value, list) else value
