"""Arrays into a model: all that must fit is checked, then converted, and only then is anything written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from minicnn.backend import device_of, to_device
from minicnn.errors import WeightsError
from minicnn.layers.base import Layer
from minicnn.layers.state import LoadReport, named_state
from minicnn.weights.names import lacks_counters, translate

Shapes = Mapping[str, tuple[int, ...]]


def load_arrays(
    model: Layer,
    state: Mapping[str, np.ndarray],
    source: str,
    strict: bool = True,
    rename: Callable[[str], str] | None = None,
) -> LoadReport:
    """Copy the arrays into the model, in place, all or none; see weights.load. source: what to call them in errors."""
    values = {name: holder.value for name, holder in named_state(model)}
    translated = translate(state, values, rename)
    arrays = {translated[name]: array for name, array in state.items()}
    mismatched = {
        name: why
        for name in sorted(arrays)
        if name in values and (why := _why_not(arrays[name], values[name]))
    }
    report = LoadReport(
        missing=sorted(name for name in values if name not in arrays and not lacks_counters(name, arrays)),
        unexpected=sorted(name for name in arrays if name not in values),
        mismatched=[f"{name} {why}" for name, why in mismatched.items()],
    )
    fitting = {name: arrays[name] for name in arrays if name in values and name not in mismatched}
    shapes = {name: value.shape for name, value in values.items()}
    if strict and any(report):
        raise WeightsError(_explain(report, type(model).__name__, source, arrays, shapes))
    if values and not fitting:
        raise WeightsError(
            f"nothing in {source} fits {type(model).__name__}, not one name and shape, so nothing was loaded.\n"
            + _explain(report, type(model).__name__, source, arrays, shapes)
        )
    prepared = {
        name: to_device(_converted(name, array, values[name].dtype, source), device_of(values[name]))
        for name, array in fitting.items()
    }
    model.load_state_dict(prepared, strict=False)
    return report


def _why_not(array: np.ndarray, value: np.ndarray) -> str | None:
    """Why this array cannot become this value; None if it can."""
    if array.shape != value.shape:
        return f"{array.shape} for {value.shape}"
    # Integers are no weights (those of a quantised network mean something else), nor are truth values counts.
    if (array.dtype.kind == "f") != (value.dtype.kind == "f") or array.dtype.kind == "b" != value.dtype.kind:
        return f"{array.dtype} for {value.dtype}"
    return None


def _converted(name: str, array: np.ndarray, dtype: np.dtype, source: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(dtype, copy=False)
        # Integers that do not fit wrap around, and back again: only their sign tells.
        wrapped = (converted.astype(array.dtype) != array) | ((converted < 0) != (array < 0))
    lost = np.isfinite(array) & ~np.isfinite(converted) if dtype.kind == "f" else wrapped
    if converted is not array and lost.any():
        raise WeightsError(
            f"{name} of {source} holds {array.dtype} numbers beyond the range of the model's {dtype}: nothing was loaded; "
            f'use model.astype("{array.dtype}") first'
        )
    return converted


def _explain(
    report: LoadReport, model: str, source: str, arrays: Mapping[str, np.ndarray], shapes: Shapes
) -> str:
    """The whole list, sorted, with shapes, and what to do."""
    lines = [f"{source} does not fit {model}: {_counts(report)}; nothing was loaded."]
    lines += _section(
        "missing (in the model, not in the file)", [f"{name} {shapes[name]}" for name in report.missing]
    )
    lines += _section(
        "unexpected (in the file, not in the model)",
        [f"{name} {arrays[name].shape}" for name in report.unexpected],
    )
    lines += _section("mismatched (file for model)", report.mismatched)
    return "\n".join([*lines, *_advice(report)])


def _counts(report: LoadReport) -> str:
    return ", ".join(f"{len(names)} {kind}" for kind, names in zip(report._fields, report) if names)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"  {title}:", *(f"    {line}" for line in lines)] if lines else []


def _advice(report: LoadReport) -> list[str]:
    mismatched = [line.split(" ")[0] for line in report.mismatched]
    prefix = _foreign_prefix(report)
    if prefix:
        return [
            f'Every name has "{prefix}" before it: pass rename=lambda name: name.removeprefix("{prefix}").'
        ]
    if mismatched and not report.missing and not report.unexpected:
        return [
            "Build the model with the same arguments (such as num_classes); or, for a head of another size, load with "
            f"strict=False, which leaves {', '.join(mismatched)} as {'it was' if len(mismatched) == 1 else 'they were'}."
        ]
    return [
        "Build the model with the same arguments; or load what fits with strict=False, which leaves the rest of the "
        "model as it was and returns this list; or translate names with rename=."
    ]


def _foreign_prefix(report: LoadReport) -> str:
    """What stands before the model's names in the file, such as "backbone."; nothing if there is no such thing."""
    if not report.missing:
        return ""
    for name in report.unexpected:
        if name.endswith(f".{report.missing[0]}"):
            prefix = name.removesuffix(report.missing[0])
            return (
                prefix if {prefix + missing for missing in report.missing} <= set(report.unexpected) else ""
            )
    return ""
