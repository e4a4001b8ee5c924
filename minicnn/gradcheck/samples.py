"""Whether the samples of a batch see each other, and whether batches may be stacked."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.gradcheck.closeness import close
from minicnn.gradcheck.directions import random_entries, typical_scale
from minicnn.gradcheck.report import Finding
from minicnn.gradcheck.subject import BadOutput, CodeRaised, Evaluation, Subject


def sample_rules(
    subject: Subject,
    base: Evaluation,
    findings: list[Finding],
    rng: np.random.Generator,
    independent: bool | None,
) -> bool | None:
    """Whether samples are mixed (None if there are none to mix). Sets subject.stacks.

    independent: True if mixing them would be a mistake.
    """
    x, (y, active) = subject.values[0], base
    if x.ndim < 2 or y.ndim < 1 or x.shape[0] != y.shape[0]:
        return None
    mixes: bool | None = None
    if len(x) > 1:
        moved = x.copy()
        moved[0] += typical_scale(x) * random_entries(x.shape[1:], rng)
        other = subject.run(subject.with_value(0, moved)).y
        mixes = other.shape == y.shape and not close(other[1:], y[1:])
        if mixes and independent:
            findings.append(
                Finding(
                    "samples mixed",
                    "the output of one sample depends on another sample of the batch, though they should be "
                    "independent (in evaluation mode batch norm uses its running statistics, not those of the batch)",
                )
            )
    if not mixes:
        moved = x + typical_scale(x) * random_entries(x.shape, rng)
        try:
            stacked = subject.run(subject.with_value(0, np.concatenate([x, moved])))
            alone = subject.run(subject.with_value(0, moved))
        except (CodeRaised, BadOutput):
            return mixes  # made for one batch size: then perturbations are run one by one
        if stacked.y.shape == (2 * len(y), *y.shape[1:]):
            right = close(stacked.y, np.concatenate([y, alone.y]))
            subject.stacks = right and _active_stacks(stacked.active, active, alone.active)
    return mixes


def _active_stacks(stacked: Any, first: Any, second: Any) -> bool:
    if stacked is None:
        return True
    return len(stacked) == len(first) and all(
        whole.size == 2 * a.size
        and np.array_equal(whole.reshape(2, -1), np.stack([a.reshape(-1), b.reshape(-1)]))
        for whole, a, b in zip(stacked, first, second)
    )
