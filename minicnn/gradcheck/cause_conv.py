"""Convolutions: recognised by trying strides, paddings and dilations; then known mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake, Suspects


class Geometry(NamedTuple):
    """Stride, padding and dilation of both axes, and groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class Arrays(NamedTuple):
    x: np.ndarray  # (N, C, H, W)
    weight: np.ndarray  # (O, C / groups, R, S)
    bias: np.ndarray | None


def conv_suspects(evidence: Evidence) -> Suspects | None:
    """The right gradient of a convolution and its mistakes; None if forward is no convolution."""
    arrays = _arrays(evidence)
    if arrays is None:
        return None
    geometry = recognise(arrays, evidence.y)
    if geometry is None:
        return None
    kind = "x" if evidence.index == 0 else "weight" if evidence.value.ndim == 4 else "bias"
    return Suspects(
        gradient(kind, arrays, geometry, evidence.v), _mistakes(kind, arrays, geometry, evidence.v)
    )


def _arrays(evidence: Evidence) -> Arrays | None:
    x, y, others = evidence.values[0], evidence.y, evidence.values[1:]
    weight = next((a for a in others if a.ndim == 4), None)
    if x.ndim != 4 or y.ndim != 4 or weight is None or len(others) > 2 or weight.shape[0] != y.shape[1]:
        return None
    if weight.shape[1] == 0 or x.shape[1] % weight.shape[1]:
        return None
    bias = next((a for a in others if a.ndim == 1 and a.shape == (y.shape[1],)), None)
    return Arrays(x, weight, bias)


def recognise(arrays: Arrays, y: np.ndarray) -> Geometry | None:
    """The settings under which a convolution of these arrays gives y."""
    groups = arrays.x.shape[1] // arrays.weight.shape[1]
    if arrays.weight.shape[0] % groups:
        return None
    per_axis = [
        [
            (stride, padding, dilation)
            for dilation, stride, padding in itertools.product((1, 2, 3), (1, 2, 3, 4), range(5))
            if _length(arrays.x.shape[axis], arrays.weight.shape[axis], stride, padding, dilation)
            == y.shape[axis]
        ]
        for axis in (2, 3)
    ]
    pairs = list(itertools.product(*per_axis))
    pairs.sort(key=lambda pair: pair[0] != pair[1])  # square settings first
    for high, wide in pairs[:400]:
        stride, padding, dilation = zip(high, wide)
        geometry = Geometry(stride, padding, dilation, groups)
        if _agrees(arrays, geometry, y):
            return geometry
    return None


def _length(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _agrees(arrays: Arrays, geometry: Geometry, y: np.ndarray) -> bool:
    """Compare one sample first: most settings are wrong, and cheap to see."""
    first = Arrays(arrays.x[:1], arrays.weight, arrays.bias)
    for part, wanted in ((first, y[:1]), (arrays, y)):
        if np.max(np.abs(_forward(part, geometry) - wanted), initial=0) > 1e-6 * np.max(np.abs(y), initial=0):
            return False
    return True


def _forward(arrays: Arrays, g: Geometry) -> np.ndarray:
    x, weight = arrays.x, arrays.weight
    out = [
        _length(x.shape[a], weight.shape[a], g.stride[a - 2], g.padding[a - 2], g.dilation[a - 2])
        for a in (2, 3)
    ]
    padded = np.pad(x, ((0, 0), (0, 0), (g.padding[0],) * 2, (g.padding[1],) * 2))
    y = np.zeros((len(x), weight.shape[0], *out))
    for r, s in np.ndindex(*weight.shape[2:]):
        window = padded[:, :, *_window(r, s, g.dilation, g.stride, out)]
        y += _per_group(window, weight[:, :, r, s], g.groups)
    return y if arrays.bias is None else y + arrays.bias.reshape(1, -1, 1, 1)


def _window(
    r: int, s: int, dilation: tuple[int, ...], stride: tuple[int, ...], out: tuple[int, ...] | list[int]
) -> tuple[slice, slice]:
    """Where the kernel's element (r, s) meets the padded input, for all outputs."""
    starts = (r * dilation[0], s * dilation[1])
    return tuple(  # type: ignore[return-value]
        slice(start, start + step * (count - 1) + 1, step) for start, step, count in zip(starts, stride, out)
    )


def _per_group(window: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    n, c, p, q = window.shape
    grouped = window.reshape(n, groups, c // groups, p, q)
    kernel = weight.reshape(groups, -1, weight.shape[1])
    return np.einsum("ngcpq,goc->ngopq", grouped, kernel).reshape(n, -1, p, q)


def gradient(
    kind: str,
    arrays: Arrays,
    g: Geometry,
    v: np.ndarray,
    *,
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    front: tuple[int, ...] | None = None,
    group_of_output: np.ndarray | None = None,
    group_of_input: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of x, weight or bias; every keyword is a place where a mistake can be made.

    stride, dilation: used in backward instead of the right ones. front: where the padded dx is cut.
    group_of_output (O,), group_of_input (groups,): which group an output channel is taken to be in,
    and whose input channels that group is taken to read.
    """
    x, weight = arrays.x, arrays.weight
    stride, dilation = stride or g.stride, dilation or g.dilation
    if kind == "bias":
        return v.sum(axis=(0, 2, 3))
    outputs, per_group = weight.shape[:2]
    of_output = np.arange(outputs) // (outputs // g.groups) if group_of_output is None else group_of_output
    of_input = np.arange(g.groups) if group_of_input is None else group_of_input
    channels = of_input[of_output][:, None] * per_group + np.arange(per_group)  # (O, C / groups)
    padded = np.pad(x, ((0, 0), (0, 0), (g.padding[0],) * 2, (g.padding[1],) * 2))
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    for r, s in np.ndindex(*weight.shape[2:]):
        where = _window(r, s, dilation, stride, v.shape[2:])
        for o in range(outputs):
            dpadded[:, channels[o], *where] += v[:, o : o + 1] * weight[o, :, r, s].reshape(1, -1, 1, 1)
            dweight[o, :, r, s] = np.einsum("npq,ncpq->c", v[:, o], padded[:, channels[o], *where])
    if kind == "weight":
        return dweight
    top, left = g.padding if front is None else front
    return dpadded[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _mistakes(kind: str, arrays: Arrays, g: Geometry, v: np.ndarray) -> Iterator[Mistake]:
    if kind == "bias":
        return
    if g.stride != (1, 1):
        yield Mistake(
            f"the stride {g.stride} is ignored in backward: the output (p, q) belongs to the input at "
            "(p * stride, q * stride), not at (p, q)",
            gradient(kind, arrays, g, v, stride=(1, 1)),
        )
    if g.dilation != (1, 1):
        yield Mistake(
            f"the dilation {g.dilation} is ignored in backward: the kernel's element (r, s) belongs to the input "
            "r * dilation and s * dilation further on",
            gradient(kind, arrays, g, v, dilation=(1, 1)),
        )
    if kind == "x":
        yield from _of_input(arrays, g, v)
    yield from _of_axes(kind, arrays, g, v)
    yield from _of_groups(kind, arrays, g, v)
    for axis, word in ((3, "column"), (2, "row")):
        if v.shape[axis] > 1:
            cut = v.copy()
            cut[(slice(None),) * axis + (-1,)] = 0
            yield Mistake(
                f"the last {word} of dy is left out: a loop or a slice over the output ends one too early",
                gradient(kind, arrays, g, cut),
            )


def _of_input(arrays: Arrays, g: Geometry, v: np.ndarray) -> Iterator[Mistake]:
    flipped = arrays._replace(weight=arrays.weight[:, :, ::-1, ::-1])
    yield Mistake(
        "the kernel is flipped: this is dx of a convolution with the kernel turned by 180 degrees (forward does not "
        "flip, so scatter dy * w[r, s] to (p * stride + r, q * stride + s))",
        gradient("x", arrays._replace(weight=flipped.weight), g, v),
    )
    if g.padding != (0, 0):
        for front, where in (((0, 0), "front"), ((2 * g.padding[0], 2 * g.padding[1]), "wrong side")):
            cropped = gradient("x", arrays, g, v, front=front)
            if cropped.shape == arrays.x.shape:
                yield Mistake(
                    f"the padding is not cropped from the {where} of dx: cut dx[:, :, p:p+H, p:p+W] out of the "
                    f"padded gradient, p = {g.padding}",
                    cropped,
                )


def _of_axes(kind: str, arrays: Arrays, g: Geometry, v: np.ndarray) -> Iterator[Mistake]:
    weight = arrays.weight
    if weight.shape[2] == weight.shape[3] > 1:
        sentence = "the kernel's two axes are exchanged: (r, s) is used where (s, r) belongs"
        if kind == "x":
            yield Mistake(sentence, gradient("x", arrays._replace(weight=weight.swapaxes(2, 3)), g, v))
        else:
            yield Mistake(sentence, gradient("weight", arrays, g, v).swapaxes(2, 3))
    if kind == "weight" and weight.shape[2] * weight.shape[3] > 1:
        yield Mistake(
            "the kernel is flipped: this is dweight turned by 180 degrees",
            gradient("weight", arrays, g, v)[:, :, ::-1, ::-1],
        )


def _of_groups(kind: str, arrays: Arrays, g: Geometry, v: np.ndarray) -> Iterator[Mistake]:
    if g.groups == 1:
        return
    outputs = arrays.weight.shape[0]
    right = np.arange(outputs) // (outputs // g.groups)
    of_output = {"interleaved": np.arange(outputs) % g.groups, "first": 0 * right}
    of_input = {"reversed": np.arange(g.groups)[::-1], "rotated": np.roll(np.arange(g.groups), 1)}
    of_input["rotated back"] = np.roll(np.arange(g.groups), -1)
    sentence = (
        f"the {g.groups} groups are mixed up: output channel o belongs to group o // (O / groups) and reads only the "
        "input channels of that group"
    )
    for assignment in of_output.values():
        yield Mistake(sentence, gradient(kind, arrays, g, v, group_of_output=assignment))
    for source in of_input.values():
        yield Mistake(sentence, gradient(kind, arrays, g, v, group_of_input=source))
