"""Mistakes in the backward pass of pooling, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.mutants.mutant import Mutant, Pair


@dataclass(frozen=True)
class Setting:
    op: str = "max"
    size: int = 7
    kernel: int = 3
    stride: int = 2
    padding: int = 0
    ceil: bool = False
    ties: bool = False


def pooling(setting: Setting, mistake: str) -> tuple[Any, Any]:
    """forward and backward; averages count the padding. mistake "" gives the correct twin."""
    s = setting
    fill = -np.inf if s.op == "max" else 0.0

    def outputs() -> int:
        span = s.size + 2 * s.padding - s.kernel
        count = (-(-span // s.stride) if s.ceil else span // s.stride) + 1
        return count - 1 if s.ceil and (count - 1) * s.stride >= s.size + s.padding else count

    def inside(p: int, q: int) -> tuple[slice, slice]:
        limit = s.size + 2 * s.padding
        return (
            slice(p * s.stride, min(p * s.stride + s.kernel, limit)),
            slice(q * s.stride, min(q * s.stride + s.kernel, limit)),
        )

    def forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
        border = (s.padding, s.padding)
        padded = np.pad(x, ((0, 0), (0, 0), border, border), constant_values=fill)
        y = np.empty((*x.shape[:2], outputs(), outputs()))
        for p, q in np.ndindex(outputs(), outputs()):
            window = padded[:, :, *inside(p, q)]
            y[:, :, p, q] = window.max(axis=(2, 3)) if s.op == "max" else window.mean(axis=(2, 3))
        return y, padded

    def share(window: np.ndarray) -> np.ndarray:
        if s.op != "max":
            if mistake == "wrong divisor with padding":
                return np.full(window.shape, 1.0) / np.count_nonzero(window, axis=(2, 3), keepdims=True)
            return np.full(window.shape, 1.0 / (window.shape[2] * window.shape[3]))
        if mistake == "ties counted twice":
            return (window == window.max(axis=(2, 3), keepdims=True)).astype(float)
        chosen = np.zeros(window.shape)
        for n, c in np.ndindex(*window.shape[:2]):
            chosen[n, c].flat[np.argmax(window[n, c])] = 1.0
        return chosen

    def backward(dy: np.ndarray, padded: np.ndarray) -> np.ndarray:
        dpadded = np.zeros_like(padded)
        tail = mistake == "ceil-mode tail dropped"
        for p, q in np.ndindex(dy.shape[2], dy.shape[3]):
            target = dpadded[:, :, *inside(p, q)]
            if tail and (target.shape[2] < s.kernel or target.shape[3] < s.kernel):
                continue
            part = share(padded[:, :, *inside(p, q)])
            g = dy[:, :, p, q, None, None]
            if mistake == "overlap assigned":
                target[...] = np.where(part != 0, part * g, target)
            elif mistake == "overlap assigned where dy != 0":
                # One-hot cotangents, of which a full Jacobian is made, never see this one.
                target[...] = np.where((part != 0) & (g != 0), part * g, target)
            else:
                target += part * g
        crop = slice(s.padding, s.padding + s.size)
        return dpadded[:, :, crop, crop]

    return forward, backward


def pool_mutant(name: str, mistake: str, setting: Setting, words: tuple[str, ...]) -> Mutant:
    def build(broken: bool, rng: np.random.Generator) -> Pair:
        x = rng.standard_normal((2, 2, setting.size, setting.size))
        if setting.ties:
            x = np.round(x)
        return Pair(*pooling(setting, mistake if broken else ""), (x,))

    return Mutant(name, build, words)


MUTANTS = [
    pool_mutant("max pool: overlap assigned", "overlap assigned", Setting(), ("assigned",)),
    pool_mutant(
        "max pool: overlap assigned where dy != 0",
        "overlap assigned where dy != 0",
        Setting(stride=1, size=6),
        ("assigned",),
    ),
    pool_mutant("avg pool: overlap assigned", "overlap assigned", Setting("avg"), ("assigned",)),
    pool_mutant(
        "max pool: ceil-mode tail dropped",
        "ceil-mode tail dropped",
        Setting(kernel=2, ceil=True),
        ("ceil mode",),
    ),
    pool_mutant(
        "avg pool: ceil-mode tail dropped",
        "ceil-mode tail dropped",
        Setting("avg", kernel=2, ceil=True),
        ("ceil mode",),
    ),
    pool_mutant(
        "avg pool: wrong divisor with padding",
        "wrong divisor with padding",
        Setting("avg", size=6, padding=1),
        ("divisor",),
    ),
    pool_mutant(
        "max pool: ties counted twice", "ties counted twice", Setting(kernel=2, size=6, ties=True), ("ties",)
    ),
    pool_mutant(
        "max pool: ties counted twice, overlapping",
        "ties counted twice",
        Setting(kernel=3, size=6, stride=1, ties=True),
        ("ties",),
    ),
]
