"""`minicnn weights show FILE`: what a weights file holds."""

from __future__ import annotations

from os import PathLike

from minicnn.weights.state_files import read_state_file


def describe(path: str | PathLike[str]) -> str:
    """A table of names, shapes and element types, and a last line with the totals and the format.

    The file is read whole, so its checksums have been verified. Raises WeightsError when it is damaged.
    """
    form, arrays = read_state_file(path)
    rows = [
        (name, "x".join(map(str, array.shape)) or "-", array.dtype.name) for name, array in arrays.items()
    ]
    rows.insert(0, ("name", "shape", "dtype"))
    name_width, shape_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{name:<{name_width}}  {shape:<{shape_width}}  {dtype}" for name, shape, dtype in rows]
    numbers, size = (sum(getattr(a, part) for a in arrays.values()) for part in ("size", "nbytes"))
    return "\n".join([*lines, "", f"{form}: {len(arrays)} arrays, {numbers:,} numbers, {size:,} bytes"])
