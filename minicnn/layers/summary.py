"""A table of what a network is made of: shapes, parameters, memory, multiply-adds."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minicnn.backend import to_device
from minicnn.layers.base import Layer
from minicnn.layers.inference import evaluating


class Row(NamedTuple):
    """One leaf layer."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    memory: int  # bytes of the output
    multiply_adds: int


class Summary(NamedTuple):
    """What Layer.summary returns: print it, or read its rows and totals."""

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    parameters: int  # all, each shared one counted once
    trainable: int  # those that are not frozen
    parameter_memory: int  # bytes
    activation_memory: int  # bytes of all outputs together
    multiply_adds: int  # of one forward pass of the batch

    def __str__(self) -> str:
        header = ("layer", "type", "output shape", "parameters", "memory", "multiply-adds")
        cells = [
            (
                row.name or "-",
                row.kind,
                str(row.output_shape),
                f"{row.parameters:,}",
                _bytes(row.memory),
                f"{row.multiply_adds:,}",
            )
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in [header, *cells]) for column in range(len(header))]

        def line(values: tuple[str, ...]) -> str:
            # Names to the left, numbers to the right.
            return "  ".join(
                value.ljust(width) if column < 3 else value.rjust(width)
                for column, (value, width) in enumerate(zip(values, widths))
            ).rstrip()

        rule = "-" * len(line(header))
        frozen = self.parameters - self.trainable
        return "\n".join(
            [
                f"{self.model}, input {self.input_shape}",
                line(header),
                rule,
                *(line(cell) for cell in cells),
                rule,
                f"parameters     {self.parameters:,}" + (f" ({frozen:,} frozen)" if frozen else ""),
                f"memory         {_bytes(self.parameter_memory)} parameters, {_bytes(self.activation_memory)} outputs",
                f"multiply-adds  {self.multiply_adds:,}",
            ]
        )


def summarize(layer: Layer, input_shape: tuple[int, ...]) -> Summary:
    """Send one batch of zeros through the layer and write down what every leaf makes of it.

    A shape of three axes is one image, of one axis one row. The layer is left as it was: the
    pass runs in eval mode (no statistics are updated, no random numbers drawn), and what an
    earlier forward left for backward stays.
    """
    shape = (1, *input_shape) if len(input_shape) in (1, 3) else tuple(input_shape)
    dtype = next((parameter.dtype for parameter in layer.parameters()), np.dtype(np.float32))
    with evaluating(layer), layer.watch() as records:
        layer.forward(to_device(np.zeros(shape, dtype=dtype), layer.device))

    rows = []
    for name, leaf in layer.leaves():
        record = records[name]
        if record.x is None or record.y is None:
            continue  # not reached by a forward in eval mode
        size = sum(parameter.size for parameter in leaf.parameters())
        adds = leaf.multiply_adds(record.x.shape, record.y.shape)
        rows.append(Row(name, type(leaf).__name__, record.y.shape, size, record.y.nbytes, adds))
    parameters = list(layer.parameters())
    return Summary(
        model=type(layer).__name__,
        input_shape=shape,
        rows=rows,
        parameters=sum(parameter.size for parameter in parameters),
        trainable=sum(parameter.size for parameter in parameters if not parameter.frozen),
        parameter_memory=sum(parameter.value.nbytes for parameter in parameters),
        activation_memory=sum(row.memory for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def _bytes(count: int) -> str:
    """1536 -> '1.5 KiB'."""
    if count < 1024:
        return f"{count} B"
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:.1f} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}"
