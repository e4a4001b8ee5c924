"""The likely cause of a wrong gradient, in words.

The operation is recognised by what its forward computes, not by its name. Then the gradients
that known mistakes give, in this very configuration, are compared with the wrong one. A cause is
named only if it explains all of the error; when nothing fits, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minicnn.gradcheck.cause_conv import conv_suspects
from minicnn.gradcheck.cause_dense import concat_suspects, linear_suspects
from minicnn.gradcheck.cause_generic import float32_cause, generic_mistakes
from minicnn.gradcheck.cause_loss import loss_suspects
from minicnn.gradcheck.cause_norm import norm_suspects
from minicnn.gradcheck.cause_pointwise import pointwise_suspects
from minicnn.gradcheck.cause_pool import pool_suspects
from minicnn.gradcheck.evidence import Evidence, Suspects, gather
from minicnn.gradcheck.report import Report, Verdict

if TYPE_CHECKING:
    from minicnn.gradcheck.engine import Examination

RECOGNISERS: tuple[Callable[[Evidence], Suspects | None], ...] = (
    conv_suspects,
    pool_suspects,
    norm_suspects,
    linear_suspects,
    concat_suspects,
    pointwise_suspects,
    loss_suspects,
)


def add_causes(report: Report, examination: Examination) -> Report:
    """The report, with `causes` filled in for the arrays that failed."""
    for result in report.arrays:
        if result.verdict is not Verdict.FAIL:
            continue
        evidence = gather(examination, result)
        sentence = cause_of(evidence) if evidence is not None else None
        if sentence is not None and sentence not in report.causes:
            report.causes.append(sentence)
    examination.subject.begin()
    return report


def cause_of(evidence: Evidence) -> str | None:
    """One sentence about one array, or None."""
    in_single = float32_cause(evidence)
    if in_single is not None:
        return in_single
    fitting: list[str] = []
    for recognise in RECOGNISERS:
        suspects = recognise(evidence)
        if suspects is None or not evidence.is_right(suspects.right):
            continue
        for mistake in suspects.mistakes:
            if mistake.sentence not in fitting and evidence.fits(mistake.gradient, suspects.right):
                fitting.append(mistake.sentence)
        break
    if not fitting:
        for mistake in generic_mistakes(evidence):
            if mistake.sentence not in fitting and evidence.fits(mistake.gradient):
                fitting.append(mistake.sentence)
    if not fitting:
        return None
    text = fitting[0] if len(fitting) == 1 else "either " + ", or ".join(fitting[:2])
    return f"{evidence.name}: {text}"
