"""Batch normalisation, channels last, with what usually follows it: an addition and a ReLU.

    y = max( (x - mean) * weight / √(var + eps) + bias + shortcut, 0)        per channel; shortcut and max optional

Arrays are seen as (rows, width), one row for each pixel of each image, whose first C numbers count: a
row may go on, where the channels are the first ones of a wider array. These are plain loops, which LLVM
vectorises over the channels; they run at the speed of memory, so that what counts is how often each
array is read. Forward reads x twice (statistics, then values) and backward x and dy twice.

**Statistics.** E[x²] - E[x]² loses all digits where the mean is large beside the deviation. Instead a block
of rows, in L1 after the first look, gives its mean m and its sum of squared deviations s, and the next
block is merged (Chan, Golub & LeVeque 1979):

    δ = m_b - m_a,   m = m_a + δ n_b/n,   s = s_a + s_b + δ² n_a n_b/n

Merging goes on in float64: over the blocks of a hundred thousand rows, float32 would lose as much as all of
the layer's other rounding together, and an error of a channel's scale is one that later layers do not average out.

**Backward.** With the gradient g at the output of the normalisation (dy where y > 0) and M rows,

    dbias = Σ g,   dweight = Σ g (x - mean) / σ,   dx = weight/σ (g - dbias/M - (x - mean) dweight/(σ M))

(Ioffe & Szegedy 2015, sec. 3). Whether y > 0 is worked out anew from x, which is read anyway. With a
shortcut it is read from y, and g, the gradient of the shortcut too, is written down for the second look.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import least
from minicnn.kernels.cpu.threads import fork, get_num_threads

BLOCK = 32  # rows: with up to 256 channels they stay in L1 between the two looks


@helper
def first(count, part, parts):
    """Where the share of a part begins."""
    return count * part // parts


# ---- statistics -------------------------------------------------------------------------------------


@helper
def statistics_part(x, means, squares, sums, part, parts):
    """means[part], squares[part] = mean and Σ (x - mean)² of this part's rows."""
    channels = means.shape[1]
    mean, square, s, q = means[part], squares[part], sums[part, 0], sums[part, 1]
    mean[:] = 0
    square[:] = 0
    begin, end = first(x.shape[0], part, parts), first(x.shape[0], part + 1, parts)
    for start in range(begin, end, BLOCK):
        stop = min(end, start + BLOCK)
        s[:] = 0
        q[:] = 0
        for p in range(start, stop):
            row = x[p]
            for c in range(channels):
                s[c] += row[c]
        share = np.float32(1) / np.float32(stop - start)
        for c in range(channels):
            s[c] *= share
        for p in range(start, stop):
            row = x[p]
            for c in range(channels):
                d = row[c] - s[c]
                q[c] += d * d
        merge(mean, square, start - begin, s, q, stop - start)


@helper
def merge(mean, square, count, other_mean, other_square, other_count):
    """The statistics of `count` rows, in float64, with those of `other_count` more merged into them."""
    share = other_count / (count + other_count)
    weight = count * share
    for c in range(mean.size):
        d = other_mean[c] - mean[c]
        mean[c] += d * share
        square[c] += other_square[c] + d * d * weight


@kernel
def statistics(x, means, squares, sums, mean, var):
    """mean and biased variance of every column of x."""
    fork(statistics_part, (x, means, squares, sums))
    rows, parts = x.shape[0], means.shape[0]
    for part in range(1, parts):
        begin, end = first(rows, part, parts), first(rows, part + 1, parts)
        if end > begin:
            merge(means[0], squares[0], begin, means[part], squares[part], end - begin)
    for c in range(mean.size):
        mean[c] = means[0, c]
        var[c] = squares[0, c] / rows


# ---- forward ----------------------------------------------------------------------------------------


@helper
def normalize_part(x, mean, scale, bias, shortcut, adds, low, y, part, parts):
    """y = max((x - mean) scale + bias [+ shortcut], low), NaN staying NaN."""
    channels = mean.size
    for p in range(first(x.shape[0], part, parts), first(x.shape[0], part + 1, parts)):
        row, out, other = x[p], y[p], shortcut[p]
        if adds:
            for c in range(channels):
                v = (row[c] - mean[c]) * scale[c] + bias[c] + other[c]
                out[c] = low if v < low else v
        else:
            for c in range(channels):
                v = (row[c] - mean[c]) * scale[c] + bias[c]
                out[c] = low if v < low else v


@kernel
def normalize(x, mean, var, eps, weight, bias, shortcut, adds, relu, inverse_std, scale, y):
    for c in range(mean.size):
        inverse_std[c] = np.float32(1) / np.sqrt(var[c] + np.float32(eps))
        scale[c] = weight[c] * inverse_std[c] if weight.size else inverse_std[c]
    fork(normalize_part, (x, mean, scale, bias, shortcut, adds, least(relu), y))


# ---- backward ---------------------------------------------------------------------------------------


@helper
def add_and_clear(sums, totals):
    """Sums of a block, added to the totals in float64: the error does not grow with the number of rows."""
    for c in range(sums.shape[1]):
        totals[0, c] += sums[0, c]
        totals[1, c] += sums[1, c]
    sums[:] = 0


@helper
def gradient_sums_part(dy, x, mean, scale, bias, low, sums, totals, part, parts):
    """totals[part] = Σ g and Σ g (x - mean), for g = dy where the output was above low."""
    rows, channels = x.shape[0], mean.size
    s, total = sums[part], totals[part]
    a, b = s[0], s[1]
    s[:] = 0
    total[:] = 0
    begin, end = first(rows, part, parts), first(rows, part + 1, parts)
    for start in range(begin, end, BLOCK):
        for p in range(start, min(end, start + BLOCK)):
            row, upstream = x[p], dy[p]
            for c in range(channels):
                d, v = row[c] - mean[c], upstream[c]
                g = v if d * scale[c] + bias[c] > low else np.float32(0)
                a[c] += g
                b[c] += g * d
        add_and_clear(s, total)


@helper
def gradient_sums_shortcut_part(dy, x, y, mean, low, g_out, sums, totals, part, parts):
    """The same where a shortcut was added: g is known from y, and kept as the shortcut's gradient."""
    rows, channels = x.shape[0], mean.size
    s, total = sums[part], totals[part]
    a, b = s[0], s[1]
    s[:] = 0
    total[:] = 0
    begin, end = first(rows, part, parts), first(rows, part + 1, parts)
    for start in range(begin, end, BLOCK):
        for p in range(start, min(end, start + BLOCK)):
            row, upstream, out, kept = x[p], dy[p], y[p], g_out[p]
            for c in range(channels):
                v = upstream[c]
                g = v if out[c] > low else np.float32(0)
                kept[c] = g
                a[c] += g
                b[c] += g * (row[c] - mean[c])
        add_and_clear(s, total)


@helper
def finish_sums(totals, inv_std, scale, rows, constants, dweight, dbias, k_mean, k_slope):
    """dweight and dbias from the parts' totals, and what the second look subtracts (0 for given statistics)."""
    for c in range(inv_std.size):
        a, b = 0.0, 0.0
        for part in range(totals.shape[0]):
            a += totals[part, 0, c]
            b += totals[part, 1, c]
        dbias[c] = a
        dweight[c] = b * inv_std[c]
        k_mean[c] = 0.0 if constants else a / rows
        k_slope[c] = 0.0 if constants else b * inv_std[c] * inv_std[c] / rows


@helper
def gradient_part(dy, x, mean, scale, bias, low, k_mean, k_slope, adds, dx, part, parts):
    """dx = scale (g - k_mean - (x - mean) k_slope), or dx += that."""
    channels = mean.size
    for p in range(first(x.shape[0], part, parts), first(x.shape[0], part + 1, parts)):
        row, upstream, out = x[p], dy[p], dx[p]
        if adds:
            for c in range(channels):
                d, v, before = row[c] - mean[c], upstream[c], out[c]
                g = v if d * scale[c] + bias[c] > low else np.float32(0)
                out[c] = before + scale[c] * (g - k_mean[c] - d * k_slope[c])
        else:
            for c in range(channels):
                d, v = row[c] - mean[c], upstream[c]
                g = v if d * scale[c] + bias[c] > low else np.float32(0)
                out[c] = scale[c] * (g - k_mean[c] - d * k_slope[c])


@kernel
def backward(dy, x, mean, inv_std, scale, bias, relu, constants, sums, totals, ks, dweight, dbias, adds, dx):
    low = least(relu)
    fork(gradient_sums_part, (dy, x, mean, scale, bias, low, sums, totals))
    finish_sums(totals, inv_std, scale, x.shape[0], constants, dweight, dbias, ks[0], ks[1])
    fork(gradient_part, (dy, x, mean, scale, bias, low, ks[0], ks[1], adds, dx))


@kernel
def backward_shortcut(
    dy, x, y, mean, inv_std, scale, relu, constants, sums, totals, ks, dweight, dbias, g, dx
):
    fork(gradient_sums_shortcut_part, (dy, x, y, mean, least(relu), g, sums, totals))
    finish_sums(totals, inv_std, scale, x.shape[0], constants, dweight, dbias, ks[0], ks[1])
    # g is masked already: every output counts as above -inf.
    fork(gradient_part, (g, x, mean, scale, mean, np.float32(-np.inf), ks[0], ks[1], False, dx))


# ---- what a layer calls: arrays (rows, C or more), C-contiguous float32 ------------------------------------------


def batch_statistics(x: np.ndarray, mean: np.ndarray, var: np.ndarray) -> None:
    """mean, var = those of every column, the variance biased."""
    threads, channels = get_num_threads(), mean.size
    doubles, sums = carve((2, threads, 2 * channels), (threads, 2, channels))
    means, squares = doubles.view(np.float64)
    statistics(x, means, squares, sums, mean, var)


NO_WEIGHT = np.empty(0, np.float32)


def forward(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, eps: float, weight: np.ndarray | None, bias: np.ndarray,
    inverse_std: np.ndarray, scale: np.ndarray, y: np.ndarray, *,
    shortcut: np.ndarray | None = None, relu: bool = False,
) -> None:  # fmt: skip
    """y = (x - mean) scale + bias [+ shortcut], then ReLU if asked, with what backward needs again written down:
    inverse_std = 1 / √(var + eps) and scale = weight inverse_std."""
    adds = shortcut is not None
    if weight is None:
        weight = NO_WEIGHT
    other = x if shortcut is None else shortcut
    normalize(x, mean, var, eps, weight, bias, other, adds, relu, inverse_std, scale, y)


def gradients(
    dy: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, scale: np.ndarray, bias: np.ndarray,
    dx: np.ndarray, dweight: np.ndarray, dbias: np.ndarray, *,
    relu: bool = False, constants: bool = False, y: np.ndarray | None = None, dshortcut: np.ndarray | None = None,
    accumulate: bool = False,
) -> None:  # fmt: skip
    """dx (or dx += it), dweight and dbias. constants: mean and variance were given, not the batch's own.

    With a shortcut, y is what forward gave and dshortcut takes the gradient of the shortcut.
    """
    threads, channels = get_num_threads(), mean.size
    sums, ks, doubles = carve((threads, 2, channels), (2, channels), (threads, 2, 2 * channels))
    totals = doubles.view(np.float64)
    if dshortcut is None or y is None:
        backward(
            dy, x, mean, inv_std, scale, bias, relu, constants, sums, totals, ks, dweight, dbias, accumulate, dx
        )  # fmt: skip
    else:
        backward_shortcut(
            dy, x, y, mean, inv_std, scale, relu, constants, sums, totals, ks, dweight, dbias, dshortcut, dx
        )  # fmt: skip
