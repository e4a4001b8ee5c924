"""Sums over the rows of a (rows, C) array: bias gradients, alone or on the way of a ReLU's backward."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.threads import fork, get_num_threads

BLOCK = 64  # rows whose sum is taken in float32 before it is added to the total in float64


@helper
def column_sums_part(a, sums, totals, part, parts):
    rows, channels = a.shape
    s, total = sums[part], totals[part]
    total[:] = 0
    begin, end = rows * part // parts, rows * (part + 1) // parts
    for start in range(begin, end, BLOCK):
        s[:] = 0
        for p in range(start, min(end, start + BLOCK)):
            row = a[p]
            for c in range(channels):
                s[c] += row[c]
        for c in range(channels):
            total[c] += s[c]


@helper
def masked_sums_part(dy, y, g, sums, totals, part, parts):
    """g = dy where y > 0, and its sums."""
    rows, channels = dy.shape
    s, total = sums[part], totals[part]
    total[:] = 0
    begin, end = rows * part // parts, rows * (part + 1) // parts
    for start in range(begin, end, BLOCK):
        s[:] = 0
        for p in range(start, min(end, start + BLOCK)):
            row, out, kept = dy[p], y[p], g[p]
            for c in range(channels):
                v = row[c]  # loaded before the test, or the loop is not vectorised
                v = v if out[c] > np.float32(0) else np.float32(0)
                kept[c] = v
                s[c] += v
        for c in range(channels):
            total[c] += s[c]


@helper
def add_up(totals, out):
    for c in range(out.size):
        total = 0.0
        for part in range(totals.shape[0]):
            total += totals[part, c]
        out[c] = total


@kernel
def sum_columns(a, sums, totals, out):
    fork(column_sums_part, (a, sums, totals))
    add_up(totals, out)


@kernel
def mask_and_sum(dy, y, g, sums, totals, out):
    fork(masked_sums_part, (dy, y, g, sums, totals))
    add_up(totals, out)


def _scratch(channels: int) -> tuple[np.ndarray, np.ndarray]:
    threads = get_num_threads()
    sums, doubles = carve((threads, channels), (threads, 2 * channels))
    return sums, doubles.view(np.float64)


def column_sums(a: np.ndarray, out: np.ndarray) -> None:
    """out[c] = Σ_p a[p, c]."""
    sum_columns(a, *_scratch(a.shape[1]), out)


def masked_sums(dy: np.ndarray, y: np.ndarray, g: np.ndarray, out: np.ndarray) -> None:
    """g = dy where y > 0, else 0 (ReLU's backward);  out[c] = Σ_p g[p, c] (the bias before it)."""
    mask_and_sum(dy, y, g, *_scratch(dy.shape[1]), out)
