"""NumPy arrays to a GPU and back around every launch, so that whatever is tested in the emulator is tested there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_GUARD = 64  # elements on either side, as in the emulator


class RoundTripModule:
    """Kernels of a cupy.RawModule that take NumPy arrays: for tests, not for speed."""

    def __init__(self, module: Any, parameters: Mapping[str, Sequence[str]]) -> None:
        self._module = module
        self._parameters = parameters

    def get_function(self, name: str) -> Any:
        kernel, kinds = self._module.get_function(name), self._parameters[name]

        def launch(grid: Sequence[int], block: Sequence[int], args: Sequence[Any]) -> None:
            lent: dict[tuple[int, int], tuple[np.ndarray, Any]] = {}
            values = [_lend(value, lent) for value in args]
            kernel(tuple(grid), tuple(block), tuple(values))
            for value, kind in zip(args, kinds):
                if isinstance(value, np.ndarray) and kind.endswith("*") and not kind.startswith("const "):
                    value[...] = _lend(value, lent).get().reshape(value.shape)

        return launch


def _lend(value: Any, lent: dict[tuple[int, int], tuple[np.ndarray, Any]]) -> Any:
    """A copy on the GPU, between poison; the same one for the same array."""
    if not isinstance(value, np.ndarray):
        return value
    import cupy

    key = value.ctypes.data, value.nbytes
    if key not in lent:
        around = cupy.empty(value.size + 2 * _GUARD, dtype=value.dtype)
        around.view(cupy.uint8).fill(0xFF if value.dtype.kind != "b" else 0)
        around[_GUARD : _GUARD + value.size] = cupy.asarray(value.reshape(-1))
        lent[key] = (value, around[_GUARD : _GUARD + value.size])
    return lent[key][1]
