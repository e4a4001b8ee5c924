"""Max and average pooling: recognised by trying windows; then known mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake, Suspects


class Pooling(NamedTuple):
    """One pooling: op is "max", or for averages what is divided by: "kernel", "valid" or "padded"."""

    op: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


class Window(NamedTuple):
    """The part of the input that one output sees, and the size that it has with padding counted."""

    rows: slice
    columns: slice
    padded_size: int
    reaches_out: bool  # beyond the padded input: only ceil_mode makes such windows


DIVISORS = ("kernel", "valid", "padded")


def pool_suspects(evidence: Evidence) -> Suspects | None:
    """The right gradient of a pooling and its mistakes; None if forward is no pooling."""
    x, y, v = evidence.values[0], evidence.y, evidence.v
    if len(evidence.values) != 1 or x.ndim != 4 or y.ndim != 4 or x.shape[:2] != y.shape[:2]:
        return None
    if x.shape == y.shape or y.size > 4096:
        return None
    pooling = recognise(x, y)
    if pooling is None:
        return None
    return Suspects(backward(x, v, pooling), _mistakes(x, v, pooling))


def recognise(x: np.ndarray, y: np.ndarray) -> Pooling | None:
    """The pooling that makes y of x, square windows first."""
    axes = [
        [
            (k, s, p)
            for k, s in itertools.product(range(1, 7), range(1, 5))
            for p in range(k // 2 + 1)
            if y.shape[a] in _lengths(x.shape[a], k, s, p)
        ]
        for a in (2, 3)
    ]
    pairs = sorted(itertools.product(*axes), key=lambda pair: pair[0] != pair[1])
    one = x[:1, :1]
    for high, wide in pairs[:1500]:
        kernel, stride, padding = zip(high, wide)
        if not _possible(one, y[:1, :1], kernel, padding):
            continue
        for op in ("max", *DIVISORS):
            pooling = Pooling(op, kernel, stride, padding)
            if _same(_forward(one, pooling, y.shape), y[:1, :1]) and _same(_forward(x, pooling, y.shape), y):
                return pooling
    return None


def _possible(x: np.ndarray, y: np.ndarray, kernel: tuple[int, ...], padding: tuple[int, ...]) -> bool:
    """Whether the first output is the maximum or a mean of its window: most candidates end here."""
    rows = slice(0, max(kernel[0] - padding[0], 0))
    columns = slice(0, max(kernel[1] - padding[1], 0))
    window = x[0, 0, rows, columns]
    if window.size == 0:
        return False
    first = y[0, 0, 0, 0]
    total = window.sum()
    guesses = np.array([window.max(), total / window.size, total / (kernel[0] * kernel[1])])
    return bool(np.min(np.abs(guesses - first)) <= 1e-6 * (1 + np.max(np.abs(x))))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.max(np.abs(one - other), initial=0) <= 1e-9 * (1e-300 + np.max(np.abs(other), initial=0)))


def _lengths(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """The output length without and with ceil_mode, whose last window must start inside."""
    span = size + 2 * padding - kernel
    if span < 0:
        return 0, 0
    floor = span // stride + 1
    ceil = -(-span // stride) + 1
    if (ceil - 1) * stride >= size + padding:
        ceil -= 1
    return floor, ceil


def windows(
    shape: tuple[int, ...], out: tuple[int, ...], pooling: Pooling
) -> Iterator[tuple[int, int, Window]]:
    """(p, q, window) of every output, row by row."""
    (kh, kw), (sh, sw), (ph, pw) = pooling.kernel, pooling.stride, pooling.padding
    height, width = shape[2:]
    for p, q in np.ndindex(*out[2:]):
        top, left = p * sh - ph, q * sw - pw
        bottom, right = top + kh, left + kw
        counted = (min(bottom, height + ph) - top) * (min(right, width + pw) - left)
        yield (
            p,
            q,
            Window(
                slice(max(top, 0), min(bottom, height)),
                slice(max(left, 0), min(right, width)),
                counted,
                bottom > height + ph or right > width + pw,
            ),
        )


def _forward(x: np.ndarray, pooling: Pooling, out: tuple[int, ...]) -> np.ndarray:
    y = np.empty((*x.shape[:2], *out[2:]))
    for p, q, window in windows(x.shape, out, pooling):
        part = x[:, :, window.rows, window.columns]
        if part.shape[2] * part.shape[3] == 0:
            return y * np.nan
        y[:, :, p, q] = (
            part.max(axis=(2, 3))
            if pooling.op == "max"
            else part.sum(axis=(2, 3)) / _divisor(part, window, pooling)
        )
    return y


def _divisor(part: np.ndarray, window: Window, pooling: Pooling) -> int:
    if pooling.op == "kernel":
        return pooling.kernel[0] * pooling.kernel[1]
    return part.shape[2] * part.shape[3] if pooling.op == "valid" else window.padded_size


def _shares(part: np.ndarray, window: Window, pooling: Pooling, ties: str) -> np.ndarray:
    """How much of one output's gradient each element of its window gets."""
    if pooling.op != "max":
        return np.full(part.shape, 1 / _divisor(part, window, pooling))
    equal = part == part.max(axis=(2, 3), keepdims=True)
    if ties == "all":
        return equal.astype(np.float64)
    flat = equal.reshape(*part.shape[:2], -1)
    first = np.cumsum(flat, axis=2) == 1
    return (flat & first).astype(np.float64).reshape(part.shape)


def backward(
    x: np.ndarray,
    v: np.ndarray,
    pooling: Pooling,
    *,
    combine: str = "add",
    ties: str = "first",
    tail: bool = True,
    order: int = 1,
) -> np.ndarray:
    """dx; every keyword is a place where a mistake can be made.

    combine: "add", or "assign" (the last window wins), or "assign all" (zeros of a later window
    win too). order −1 runs over the windows backwards. tail False leaves out windows that reach out.
    """
    dx = np.zeros_like(x)
    for p, q, window in list(windows(x.shape, v.shape, pooling))[::order]:
        if window.reaches_out and not tail:
            continue
        part = x[:, :, window.rows, window.columns]
        share = _shares(part, window, pooling, ties)
        given = share * v[:, :, p : p + 1, q : q + 1]
        target = dx[:, :, window.rows, window.columns]
        if combine == "add":
            target += given
        else:
            target[...] = np.where((share != 0) | (combine == "assign all"), given, target)
    return dx


def _mistakes(x: np.ndarray, v: np.ndarray, pooling: Pooling) -> Iterator[Mistake]:
    if pooling.stride[0] < pooling.kernel[0] or pooling.stride[1] < pooling.kernel[1]:
        sentence = (
            "windows overlap, and their gradients are assigned where they must be added: an input that is in two "
            "windows gets the sum of both (dx[...] += ..., or numpy.add.at for repeated indices)"
        )
        for combine, order in itertools.product(("assign", "assign all"), (1, -1)):
            yield Mistake(sentence, backward(x, v, pooling, combine=combine, order=order))
    yield Mistake(
        "the last windows, which reach beyond the input in ceil mode, get no gradient: loop over all outputs and "
        "clip the window instead",
        backward(x, v, pooling, tail=False),
    )
    if pooling.op == "max":
        yield Mistake(
            "ties are counted more than once: where several elements of a window share the maximum, each gets the "
            "whole gradient; give it to one of them (the first)",
            backward(x, v, pooling, ties="all"),
        )
        for divisor in ("kernel", "valid"):
            yield Mistake(
                "the gradient is spread over the whole window as in average pooling; only the maximum gets it",
                backward(x, v, pooling._replace(op=divisor)),
            )
    else:
        sentence = (
            "the divisor is wrong at the border: backward must divide by the same count as forward did, with the "
            "padding counted in both or in neither"
        )
        for divisor in DIVISORS:
            if divisor != pooling.op:
                yield Mistake(sentence, backward(x, v, pooling._replace(op=divisor)))
        area = pooling.kernel[0] * pooling.kernel[1]
        if pooling.op == "kernel":
            yield Mistake(
                "the gradient is not divided by the size of the window",
                area * backward(x, v, pooling),
            )
