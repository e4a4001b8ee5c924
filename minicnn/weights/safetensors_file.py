"""State dicts in safetensors files: names, dtypes, shapes and raw numbers, and no code."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from minicnn.backend import to_numpy
from minicnn.errors import WeightsError
from minicnn.layers.base import Layer
from minicnn.layers.state import LoadReport
from minicnn.weights.files import write_whole


def save(model: Layer, path: str | PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write the model's state dict to a .safetensors file, whole or not at all.

    metadata: a few strings to keep in the file's header.
    """
    from safetensors.numpy import save as to_bytes

    arrays = {name: to_numpy(array) for name, array in model.state_dict().items()}
    write_whole(Path(path), to_bytes(arrays, metadata=dict(metadata) if metadata else None))


def load(model: Layer, path: str | PathLike[str], strict: bool = True) -> LoadReport:
    """Read a .safetensors file into the model, in place; see Layer.load_state_dict.

    Raises WeightsError when the file is missing, damaged, or does not fit the model.
    """
    return model.load_state_dict(read(path), strict)


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file, sorted by name. Raises WeightsError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        # The library gives them in an order that changes from run to run.
        return dict(sorted(from_bytes(Path(path).read_bytes()).items()))
    except FileNotFoundError as error:
        raise WeightsError(f"no weights file {path}: check the path") from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not a safetensors file, or it is damaged ({error})") from error
