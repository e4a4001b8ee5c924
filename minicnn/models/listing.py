"""What `minicnn models` prints."""

from __future__ import annotations

from minicnn.models.catalog import ARCHITECTURES, architecture
from minicnn.models.measure import size, weightless
from minicnn.models.outline import outline, table


def describe_all() -> str:
    """A line for every network."""
    lines = [f"{'model':<12}  {'input':<11}  {'parameters':>11}  {'multiply-adds':>15}  what it is"]
    for name, entry in ARCHITECTURES.items():
        shape, parameters, multiply_adds = size(name)
        image = "x".join(map(str, shape))
        lines.append(f"{name:<12}  {image:<11}  {parameters:>11,}  {multiply_adds:>15,}  {entry.description}")
    return "\n".join(lines)


def describe_one(name: str) -> str:
    """The blocks of one network, with shapes, parameters and multiply-adds of one image."""
    entry = architecture(name)
    rows = [
        ("name", "block", "output", "parameters", "multiply-adds"),
        *table(outline(weightless(name), entry.input_shape)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            text.ljust(width) if i < 3 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
    total = size(name)
    image = "x".join(map(str, entry.input_shape))
    ending = f"\n{total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds"
    auxiliary = (
        " (auxiliary heads, for training only, among the parameters)" if entry.auxiliary_outputs else ""
    )
    return f"{name}: {entry.description}, for {image}\n\n" + "\n".join(lines) + "\n" + ending + auxiliary
