"""minicnn: convolutional networks from scratch, every backward pass by hand.

    from minicnn import data, layers, losses, models, optim, train

Importing this package imports nothing else: a subpackage is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn.kernels.threads import get_num_threads as get_num_threads
    from minicnn.kernels.threads import set_num_threads as set_num_threads
    from minicnn.layers.inference import inference as inference

__version__ = "0.1.0"

_SUBMODULES = (
    "backend",
    "data",
    "errors",
    "functional",
    "gradcheck",
    "init",
    "kernels",
    "layers",
    "losses",
    "models",
    "optim",
    "plots",
    "schedules",
    "train",
    "weights",
)
_NAMES = {
    "get_num_threads": "minicnn.kernels.threads",
    "inference": "minicnn.layers.inference",
    "set_num_threads": "minicnn.kernels.threads",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        try:
            return importlib.import_module(f"minicnn.{name}")
        except ModuleNotFoundError as error:
            if error.name != "minicnn.kernels":
                raise
            # kernels/ stands at the top of the checkout: only the installation knows it by this name.
            raise ImportError(
                "minicnn.kernels is found only where minicnn is installed: in its checkout, run pip install -e ."
            ) from error
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBMODULES, *_NAMES])
