"""Images that stay in a file on disk, where a part of them is only a list of row numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

# (N, C, H, W): a NumPy array, or StoredImages, which is one in all that data sets need of it.
Images = Any


class StoredImages:
    """Rows of a memory-mapped array (N, C, H, W): indexing reads just those, `subset` reads nothing."""

    def __init__(self, store: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.store = store
        self.rows = np.arange(len(store)) if rows is None else rows

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), *self.store.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.store.dtype

    @property
    def ndim(self) -> int:
        return self.store.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """The images of an index array, a slice or a mask, in memory; those of one integer (C, H, W)."""
        return np.array(self.store[self.rows[index]])

    def subset(self, index: Any) -> Self:
        return type(self)(self.store, self.rows[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
