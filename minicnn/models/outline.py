"""A network told in blocks: what a picture or a page shows of it, read off the model itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from minicnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Checkpoint,
    Concat,
    Conv2d,
    DenseConcat,
    Layer,
    Linear,
    MaxPool2d,
    Sequential,
)
from minicnn.models.measure import leaf_shapes


class Step(NamedTuple):
    """One block, or several alike in a row."""

    name: str  # in the state dict: of the first, or "first to last"
    what: str  # in words, without the count
    times: int
    output_shape: tuple[int, ...]  # of one image
    parameters: int  # of all of them
    multiply_adds: int


def outline(model: Layer, input_shape: tuple[int, ...]) -> list[Step]:
    """The steps that an image goes through in evaluation, in order; what has no shape of its own is left out.

    Activations and dropout belong to the step before them, and so do the parameters of norms: together
    the steps have all parameters but those of parts that only training uses.
    """
    shapes = leaf_shapes(model, input_shape)
    steps: list[Step] = []
    for name, layer in _units(model):
        leaves = [_join(name, leaf) for leaf, _ in layer.leaves()]
        reached = [leaf for leaf in leaves if leaf in shapes]
        if not reached:
            continue  # an auxiliary head
        step = Step(name, describe(layer), 1, _output(layer, name, shapes), *_cost(layer, name, shapes))
        if step.what:
            steps.append(step)
        elif steps:
            before = steps[-1]
            steps[-1] = before._replace(parameters=before.parameters + step.parameters)
    return [
        _merged(list(alike)) for _, alike in groupby(steps, key=lambda step: (step.what, step.output_shape))
    ]


def _merged(alike: list[Step]) -> Step:
    first, last = alike[0], alike[-1]
    return first._replace(
        name=first.name if first is last else f"{first.name} to {last.name}",
        times=len(alike),
        parameters=sum(step.parameters for step in alike),
        multiply_adds=sum(step.multiply_adds for step in alike),
    )


def _units(layer: Layer, name: str = "") -> Iterator[tuple[str, Layer]]:
    """The blocks: Sequentials are opened unless they hold one convolution or linear layer at most."""
    if isinstance(layer, Checkpoint):
        yield from _units(layer.layer, name)
    elif not name or (isinstance(layer, Sequential) and _is_stage(layer)):
        for child_name, child in layer.children():
            yield from _units(child, _join(name, child_name))
    else:
        yield name, layer


def _is_stage(layer: Sequential) -> bool:
    """Whether it is more than a convolution with what belongs to it."""
    blocks = any(not isinstance(child, Sequential) and any(child.children()) for child in layer)
    return blocks or sum(type(leaf) in (Conv2d, Linear) for _, leaf in layer.leaves()) > 1


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def _output(layer: Layer, name: str, shapes: dict[str, Any]) -> tuple[int, ...]:
    """The shape that a block puts out: that of its last leaf, but for those that concatenate."""
    if isinstance(layer, Concat):
        parts = [_output(branch, _join(name, key), shapes) for key, branch in layer.children()]
        return (sum(part[0] for part in parts), *parts[0][1:])
    if isinstance(layer, DenseConcat):
        children = list(layer.children())
        first = shapes[_join(name, _join(children[0][0], next(leaf for leaf, _ in children[0][1].leaves())))][
            0
        ]
        added = [_output(child, _join(name, key), shapes)[0] for key, child in children]
        return (first[0] + sum(added), *first[1:])
    last = [leaf for leaf, _ in layer.leaves() if _join(name, leaf) in shapes][-1]
    return shapes[_join(name, last)][1]


def _cost(layer: Layer, name: str, shapes: dict[str, Any]) -> tuple[int, int]:
    """(parameters, multiply-adds of one image)."""
    adds = 0
    for leaf_name, leaf in layer.leaves():
        if (found := shapes.get(_join(name, leaf_name))) is not None:
            adds += leaf.multiply_adds((1, *found[0]), (1, *found[1]))
    return sum(parameter.size for parameter in layer.parameters()), adds


def describe(layer: Layer) -> str:
    """A block in a few words; nothing for what only accompanies others (activations, norms, dropout)."""
    if isinstance(layer, Checkpoint):
        return describe(layer.layer)
    if isinstance(layer, Conv2d):
        return f"convolution {_by(layer.weight.shape[2:])}{_stride(layer.stride)}"
    if isinstance(layer, Linear):
        return "fully connected"
    if isinstance(layer, (MaxPool2d, AvgPool2d)):
        kind = "max" if isinstance(layer, MaxPool2d) else "average"
        return f"{kind} pooling {_by(layer.kernel_size)}{_stride(layer.stride)}"
    if isinstance(layer, AdaptiveAvgPool2d):
        size = layer.output_size
        return f"average to {_by(size if isinstance(size, tuple) else (size, size))}"
    if isinstance(layer, DenseConcat):
        return f"dense block of {len(layer)}"
    if isinstance(layer, Concat):
        return f"{len(layer)} branches, concatenated"
    if isinstance(layer, Sequential):
        words = [describe(child) for child in layer]
        has_norm = any(isinstance(leaf, BatchNorm2d) for _, leaf in layer.leaves())
        return ", ".join([*filter(None, words)]) + (", batch norm" if has_norm else "")
    if any(layer.children()):
        inside = [describe(leaf) for name, leaf in layer.children() if name.startswith("conv")]
        return f"{_spoken(type(layer).__name__)} ({', '.join(text.removeprefix('convolution ') for text in inside)})"
    return ""


def _by(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))


def _stride(stride: tuple[int, int]) -> str:
    return "" if stride == (1, 1) else f" / {stride[0]}"


def _spoken(name: str) -> str:
    """BasicBlock -> basic block."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def table(steps: list[Step]) -> list[tuple[str, str, str, str, str]]:
    """The steps as text: (name, what, output, parameters, multiply-adds), for a terminal or a page."""
    return [
        (
            step.name,
            f"{step.times} × {step.what}" if step.times > 1 else step.what,
            f"{step.output_shape[0]} @ {_by(step.output_shape[1:])}"
            if step.output_shape[1:]
            else str(step.output_shape[0]),
            f"{step.parameters:,}",
            f"{step.multiply_adds:,}",
        )
        for step in steps
    ]
