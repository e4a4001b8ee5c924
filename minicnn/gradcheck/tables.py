"""A report as text: a short table, what it means, and what to look at."""

from __future__ import annotations

import textwrap

from minicnn.gradcheck.report import ArrayResult, Report, Verdict

HEADINGS = ("array", "shape", "verdict", "worst at", "analytic", "numeric", "bound", "ratio")
WIDTH = 100


def as_text(report: Report) -> str:
    """The whole report: about a dozen lines."""
    lines = [
        f"{report.name}: {report.verdict}  ({report.evaluations} forward passes, {report.seconds:.2f} s)"
    ]
    if report.culprit is not None:
        lines.append(f"first wrong part, going backward from the loss: {report.culprit}")
    if report.arrays:
        lines += ["", *_table([_row(array) for array in report.arrays])]
    for array in report.arrays:
        if array.wrong_elements:
            lines.append(
                f"  {array.name}: {array.wrong_elements} of {array.tested_elements} elements tested are wrong"
            )
        if array.note:
            lines += _wrapped(f"{array.name}: {array.note}")
    broken = [finding for finding in report.findings if finding.verdict is not None]
    for finding in broken:
        lines += _wrapped(f"{finding.verdict}: {finding.text}")
    for cause in report.causes:
        lines += _wrapped(f"likely cause: {cause}")
    lines += [line for f in report.findings if f.verdict is None for line in _wrapped(f"note: {f.text}")]
    controlled = [array.name for array in report.arrays if array.control_rejected]
    if controlled:
        lines += _wrapped(
            f"control: a gradient wrong by 1 part in 10,000 was rejected for {', '.join(controlled)}"
        )
    if report.culprit is not None and report.culprit in report.parts:
        part = str(report.parts[report.culprit])
        lines += ["", textwrap.indent(part, "  | ")]
    if any(array.verdict is Verdict.UNRESOLVED for array in report.arrays):
        lines += _wrapped(
            "UNRESOLVED means that the differences are too inexact here to certify anything, right or wrong: "
            "check at another input, or look at the notes above"
        )
    return "\n".join(lines)


def _row(array: ArrayResult) -> tuple[str, ...]:
    found = array.worst
    shape = "x".join(map(str, array.shape)) or "scalar"
    if found is None:
        return (array.name, shape, str(array.verdict), "-", "-", "-", "-", "-")
    where = str(found.index).replace(" ", "") if found.index is not None else found.label
    return (
        array.name,
        shape,
        str(array.verdict),
        where,
        f"{found.analytic:.9g}",
        f"{found.numeric:.9g}",
        f"{found.bound:.1e}",
        f"{found.ratio:.2g}",
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    columns = list(zip(HEADINGS, *rows))
    widths = [max(map(len, column)) for column in columns]
    return [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in (HEADINGS, *rows)
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
