"""Mistakes in the backward pass of a convolution, output position by output position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.mutants.mutant import Mutant, Pair


@dataclass(frozen=True)
class Setting:
    samples: int = 3
    inputs: int = 2
    outputs: int = 2
    size: int = 5
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


def convolution(setting: Setting, mistake: str) -> tuple[Any, Any]:
    """forward and backward of a convolution; mistake "" gives the correct twin."""
    s = setting

    def patch(p: int, q: int, *, stride: int = s.stride, dilation: int = s.dilation) -> tuple[slice, slice]:
        reach = dilation * (s.kernel - 1) + 1
        return (
            slice(p * stride, p * stride + reach, dilation),
            slice(q * stride, q * stride + reach, dilation),
        )

    def inputs_of(o: int) -> slice:
        per_group = s.inputs // s.groups
        group = o // (s.outputs // s.groups)
        return slice(group * per_group, (group + 1) * per_group)

    def forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, Any]:
        border = (s.padding, s.padding)
        padded = np.pad(x, ((0, 0), (0, 0), border, border))
        length = (s.size + 2 * s.padding - s.dilation * (s.kernel - 1) - 1) // s.stride + 1
        y = np.empty((len(x), s.outputs, length, length), dtype=x.dtype)
        for p, q in np.ndindex(length, length):
            for o in range(s.outputs):
                seen = padded[:, inputs_of(o), *patch(p, q)]
                y[:, o, p, q] = np.tensordot(seen, weight[o], axes=3) + bias[o]
        return y, (padded, weight)

    def backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        padded, weight = cache
        dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
        if mistake == "float32 accumulation":
            dweight = dweight.astype(np.float32)
        kernel = weight
        if mistake == "kernel flipped":
            kernel = weight[:, :, ::-1, ::-1]
        if mistake == "kernel axes swapped":
            kernel = weight.transpose(0, 1, 3, 2)
        where = {
            "stride ignored in dX": lambda p, q: patch(p, q, stride=1),
            "dilation ignored": lambda p, q: patch(p, q, dilation=1),
        }.get(mistake, patch)
        rows, columns = dy.shape[2], dy.shape[3] - (mistake == "last column missing")
        for p, q in np.ndindex(rows, columns):
            for o in range(s.outputs):
                source = inputs_of(o)
                if mistake == "groups mixed":
                    source = inputs_of(s.outputs - 1 - o)
                g = dy[:, o, p, q]
                dpadded[:, source, *where(p, q)] += g[:, None, None, None] * kernel[o]
                if mistake == "dW from one sample":
                    dweight[o] += g[0] * padded[0, source, *patch(p, q)]
                else:
                    dweight[o] += np.tensordot(g, padded[:, source, *patch(p, q)], axes=1).astype(
                        dweight.dtype
                    )
        if mistake == "dW averaged":
            dweight /= len(dy)
        dbias = dy.mean(axis=0).sum(axis=(1, 2)) if mistake == "db averaged" else dy.sum(axis=(0, 2, 3))
        if mistake == "bias unsummed":
            dbias = dy
        start = 0 if mistake == "padding not cropped" else s.padding
        dx = dpadded[:, :, start : start + s.size, start : start + s.size]
        if mistake == "padded dX returned":
            dx = dpadded
        return dx, dweight.astype(padded.dtype), dbias

    return forward, backward


def conv_mutant(name: str, setting: Setting, words: tuple[str, ...], named_by: str = "cause") -> Mutant:
    def build(broken: bool, rng: np.random.Generator) -> Pair:
        s = setting
        arrays = (
            rng.standard_normal((s.samples, s.inputs, s.size, s.size)),
            rng.standard_normal((s.outputs, s.inputs // s.groups, s.kernel, s.kernel)),
            rng.standard_normal(s.outputs),
        )
        return Pair(*convolution(setting, name if broken else ""), arrays)

    return Mutant(name, build, words, named_by)


MUTANTS = [
    conv_mutant("stride ignored in dX", Setting(size=7, stride=2), ("stride",)),
    conv_mutant("padding not cropped", Setting(padding=1), ("cropped",)),
    conv_mutant("padded dX returned", Setting(padding=1), ("cropped",), "finding"),
    conv_mutant("kernel flipped", Setting(), ("flipped",)),
    conv_mutant("dW from one sample", Setting(), ("first sample",)),
    conv_mutant("dW averaged", Setting(samples=4), ("averaged over the batch",)),
    conv_mutant("db averaged", Setting(samples=4), ("averaged over the batch",)),
    conv_mutant("dilation ignored", Setting(size=7, dilation=2), ("dilation",)),
    conv_mutant("groups mixed", Setting(inputs=4, outputs=4, groups=2), ("groups",)),
    conv_mutant("kernel axes swapped", Setting(), ("axes",)),
    conv_mutant("last column missing", Setting(), ("last column",)),
    conv_mutant("bias unsummed", Setting(), ("not summed",), "finding"),
    conv_mutant("float32 accumulation", Setting(), ("float32",)),
]
