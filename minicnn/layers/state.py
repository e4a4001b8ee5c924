"""State dicts: the names and arrays of a model, out and in.

The order is torchvision's: for each layer its parameters, then its buffers, then its
children, each in the order in which the attributes were assigned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from minicnn.backend import Array, device_of, to_device
from minicnn.errors import WeightsError
from minicnn.layers.base import Buffer, Layer, Parameter, dotted


class LoadReport(NamedTuple):
    """What did not fit when a state dict was loaded. All empty means a perfect fit."""

    missing: list[str]  # in the model, not in the state dict
    unexpected: list[str]  # in the state dict, not in the model
    mismatched: list[str]  # in both, with different shapes

    def __str__(self) -> str:
        lines = [
            f"{len(names)} {kind}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
            for kind, names in zip(self._fields, self)
            if names
        ]
        return "; ".join(lines) or "all names and shapes fit"


def named_state(layer: Layer, prefix: str = "") -> Iterator[tuple[str, Parameter | Buffer]]:
    """(dotted name, Parameter or Buffer) of everything a state dict holds; shared ones by each name."""
    attributes = list(vars(layer).items())
    for kind in (Parameter, Buffer):
        for name, value in attributes:
            if isinstance(value, kind):
                yield dotted(prefix, name), value
    for name, child in layer.children():
        yield from named_state(child, dotted(prefix, name))


def load_state(layer: Layer, state: Mapping[str, Array], strict: bool) -> LoadReport:
    """Copy the arrays of `state` into the layer, in place; see Layer.load_state_dict."""
    holders = dict(named_state(layer))
    fitting = {name: array for name, array in state.items() if name in holders}
    report = LoadReport(
        missing=[name for name in holders if name not in state],
        unexpected=[name for name in state if name not in holders],
        mismatched=[
            f"{name} {tuple(array.shape)} for {holders[name].value.shape}"
            for name, array in fitting.items()
            if tuple(array.shape) != holders[name].value.shape
        ],
    )
    if strict and any(report):
        raise WeightsError(
            f"the state dict does not fit {type(layer).__name__} ({report}); nothing was loaded. "
            "Build the model with the same arguments, or load what fits with strict=False"
        )
    for name, array in fitting.items():
        value = holders[name].value
        if tuple(array.shape) == value.shape:
            value[...] = to_device(array, device_of(value))
    return report
