"""What goes wrong, in words a student can act on.

Every error of minicnn is a MinicnnError and also the built-in exception a Python
programmer would expect (a ShapeError is a ValueError), so both ways of catching work.
The text always says what was given, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinicnnError(Exception):
    """The root of every error that minicnn raises on purpose."""


class ShapeError(MinicnnError, ValueError):
    """An array has the wrong shape, or two shapes disagree."""


class DTypeError(MinicnnError, TypeError):
    """An array has the wrong element type, or two types disagree."""


class ConfigError(MinicnnError, ValueError):
    """An argument that is not an array is wrong: a stride of 0, a probability of 2, an unknown name."""


class LabelError(MinicnnError, ValueError):
    """Class labels are out of range, not integers, or one-hot."""


class CacheError(MinicnnError, RuntimeError):
    """backward found no cache: forward was not called, or backward was called twice."""


class DeviceError(MinicnnError, RuntimeError):
    """Arrays live on different devices, or the device is not available."""


class WeightsError(MinicnnError, ValueError):
    """A state dict or a weights file does not fit the model, or is damaged."""


class DataError(MinicnnError, ValueError):
    """A data set or an image file is missing, damaged or makes no sense."""


class TrainingError(MinicnnError, RuntimeError):
    """Training cannot go on: the loss is NaN or infinite, an optimizer is out of date."""


class RunError(MinicnnError, RuntimeError):
    """A run folder is missing, incomplete, or already holds another run."""


class CheckpointError(MinicnnError, RuntimeError):
    """A checkpoint cannot be written, is damaged, is newer than this minicnn, or another run's."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence for an unknown name: its nearest match if there is one, and all known names."""
    options = sorted(known)
    match = difflib.get_close_matches(name.lower(), options, n=1, cutoff=0.5)
    hint = f"did you mean {match[0]!r}? " if match else ""
    return f"{hint}known: {', '.join(options)}"
