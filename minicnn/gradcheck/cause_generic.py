"""Mistakes that any operation can have: a sign, a factor, a transpose, a forgotten part of dy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake


def float32_cause(evidence: Evidence) -> str | None:
    """Every element is a float32 number, close to the right one, which is not."""
    a, n = evidence.analytic, evidence.numeric
    known = np.isfinite(n)
    if np.count_nonzero(a[known]) < 4 or not np.array_equal(a, a.astype(np.float32).astype(np.float64)):
        return None
    off = np.abs(a - n)[known]
    if np.max(off) > 1e-5 * np.max(np.abs(n)[known]) or np.median(off) <= 16 * evidence.error:
        return None
    return (
        f"{evidence.name}: the gradient was computed or stored in float32 though everything else is float64: "
        "look for a float32 array that sums are collected in, or an .astype(numpy.float32)"
    )


def generic_mistakes(evidence: Evidence) -> Iterator[Mistake]:
    n = evidence.numeric
    yield Mistake("the sign is wrong: this is the negative of the gradient", -n)
    if np.any(n[np.isfinite(n)]):
        yield Mistake("the gradient is zero everywhere: it is never computed, or overwritten by zeros", 0 * n)
    yield from _factors(evidence)
    yield from _rearranged(evidence)
    yield from _shifted(evidence)
    if evidence.v.shape == n.shape:
        yield Mistake(
            "one path from x to y is left out of the sum: what is missing is exactly dy, so the skip connection "
            "(y = x + ...) was forgotten in backward",
            n - evidence.v,
        )
        yield Mistake(
            "this is dy itself: backward passes it on without the derivative of this operation", evidence.v
        )
    yield from _parts_of_dy(evidence)


def _factors(evidence: Evidence) -> Iterator[Mistake]:
    """Averages for sums and sums for averages, told apart by the factor, confirmed with one sample fewer."""
    n, y = evidence.numeric, evidence.y
    samples = len(evidence.values[0]) if evidence.values[0].ndim else 1
    if samples < 2:
        return
    wrong = evidence.analytic[np.isfinite(n)]
    right = n[np.isfinite(n)]
    if np.dot(right, right) == 0:
        return
    factor = float(np.dot(wrong, right) / np.dot(right, right))
    positions = int(np.prod(y.shape[2:])) if y.ndim > 2 else 1
    candidates = [
        (1 / samples, "the gradient is averaged over the batch (divided by N) instead of summed over it")
    ]
    if positions > 1:
        candidates.append(
            (
                1 / (samples * positions),
                "the gradient is averaged over batch and positions (N, H, W) instead of summed over them",
            )
        )
    if y.ndim == 0:
        candidates = [
            (
                samples,
                "the gradient is not divided by the batch size N, though the loss is a mean over the batch",
            ),
            (
                1 / samples,
                "the gradient is divided by the batch size N once too often: the loss is a sum, or was divided before",
            ),
        ]
    for expected, sentence in candidates:
        if abs(factor / expected - 1) > 1e-6:
            continue
        confirmed = evidence.ratio_with_fewer_samples()
        if confirmed is None:
            # Nothing else of this size may explain the factor.
            others = {*evidence.value.shape, *y.shape[1:]} - {samples}
            if samples < 3 or samples in others:
                continue
        else:
            fewer, ratio = confirmed
            now = expected * samples / fewer if expected < 1 else expected * fewer / samples
            if abs(ratio / now - 1) > 1e-5:
                continue
        yield Mistake(sentence, expected * n)


def _rearranged(evidence: Evidence) -> Iterator[Mistake]:
    n = evidence.numeric
    if n.ndim == 2 and n.shape[0] == n.shape[1] > 1:
        yield Mistake("the gradient is transposed: rows and columns are exchanged", n.T)
    if n.ndim == 4 and n.shape[2] == n.shape[3] > 1:
        yield Mistake("the two spatial axes are exchanged", n.swapaxes(2, 3))
    if n.ndim == 4 and n.shape[2] * n.shape[3] > 1:
        yield Mistake(
            "the gradient is turned by 180 degrees in space: a flip of the kernel too many or too few",
            n[:, :, ::-1, ::-1],
        )


def _shifted(evidence: Evidence) -> Iterator[Mistake]:
    """A padded buffer cut at the wrong corner. What was shifted out of the array stays unknown (NaN)."""
    n = evidence.numeric
    if n.ndim != 4:
        return
    for shift in (1, 2, 3):
        if min(n.shape[2:]) <= 2 * shift:
            continue
        moved = np.full(n.shape, np.nan)
        moved[:, :, shift:, shift:] = n[:, :, :-shift, :-shift]
        # The first rows of the padded buffer belong to the padding, whose gradient is not known.
        yield Mistake(
            f"the gradient is shifted by {shift} in height and width: the padding that forward added is not cropped "
            "from the front, dx[:, :, p:p+H, p:p+W]",
            moved,
        )


def _parts_of_dy(evidence: Evidence) -> Iterator[Mistake]:
    """Gradients that the right backward would give if it did not see all of dy, or saw it in another order."""
    v = evidence.v
    variants: list[tuple[str, np.ndarray]] = []
    if v.ndim >= 2 and len(v) > 1 and len(v) == len(evidence.values[0]):
        for which, sample in (("first", 0), ("last", len(v) - 1)):
            only = np.zeros_like(v)
            only[sample] = v[sample]
            variants.append((f"only the {which} sample of the batch contributes: sum over all of them", only))
    if v.ndim >= 2:
        variants.append(
            (
                "dy is masked by its own sign (dy > 0): the mask must come from the input of forward",
                v * (v > 0),
            )
        )
    if v.ndim == 4:
        for axis, word in ((3, "column"), (2, "row")):
            if v.shape[axis] > 1:
                cut = v.copy()
                cut[(slice(None),) * axis + (-1,)] = 0
                variants.append(
                    (
                        f"the last {word} of dy is left out: a loop or a slice over the output ends one too early",
                        cut,
                    )
                )
    if v.ndim >= 2 and v.shape[1] > 1:
        variants += _wrong_splits(v)
    if not variants:
        return
    for (sentence, _), gradient in zip(variants, evidence.numeric_for([v for _, v in variants])):
        yield Mistake(sentence, gradient)


def _wrong_splits(v: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """dy as the branches of a concatenation see it if its channels are cut at the wrong places."""
    channels = v.shape[1]
    sentence = (
        "the channels of dy are split at the wrong places: each branch of a concatenation must get exactly the "
        "channels that it contributed, in the same order"
    )
    variants = []
    if channels % 2 == 0:
        variants.append((sentence, np.roll(v, channels // 2, axis=1)))
    for first in range(1, min(channels, 9)):
        # The second branch starts one channel too early.
        variants.append((sentence, np.concatenate([v[:, :first], v[:, first - 1 : channels - 1]], axis=1)))
        if first <= channels - first:  # the second branch gets the channels of the first
            variants.append((sentence, np.concatenate([v[:, :first], v[:, : channels - first]], axis=1)))
    return variants
