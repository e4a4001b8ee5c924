"""What a check found, for a student to read, a test to assert and a program to use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Verdict(StrEnum):
    """PASS: agrees within the error bound. FAIL: disagrees beyond it. UNRESOLVED: nothing can be certified."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNRESOLVED = "UNRESOLVED"

    @property
    def exit_status(self) -> int:
        return {"PASS": 0, "FAIL": 1, "UNRESOLVED": 2}[self.value]


def worst(verdicts: list[Verdict]) -> Verdict:
    """FAIL before UNRESOLVED before PASS."""
    for verdict in (Verdict.FAIL, Verdict.UNRESOLVED):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS


@dataclass
class Finding:
    """Something that is not a number: a rule of forward and backward that was broken, or a note.

    `kind` is a short fixed name such as "input changed"; verdict None marks a mere note.
    """

    kind: str
    text: str
    verdict: Verdict | None = Verdict.FAIL


@dataclass
class Comparison:
    """One slope, computed both ways. index is set when it belongs to a single element."""

    analytic: float
    numeric: float
    bound: float
    verdict: Verdict
    label: str = ""
    index: tuple[int, ...] | None = None

    @property
    def difference(self) -> float:
        return abs(self.analytic - self.numeric)

    @property
    def ratio(self) -> float:
        """The difference in units of the bound: below 1 is agreement."""
        if self.difference == 0:
            return 0.0
        return self.difference / self.bound if self.bound > 0 else float("inf")


@dataclass
class Curve:
    """Error of the central difference and of the tableau against the step, along one direction."""

    steps: np.ndarray
    central: np.ndarray
    richardson: np.ndarray
    analytic: float
    bound: float
    label: str


@dataclass
class ArrayResult:
    """What is known about the gradient of one array."""

    name: str
    shape: tuple[int, ...]
    verdict: Verdict
    worst: Comparison | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    control_rejected: bool | None = None
    note: str = ""
    # Element by element, where that was done: NaN where an element was not tested.
    analytic: np.ndarray | None = None
    numeric: np.ndarray | None = None
    wrong_elements: int = 0
    tested_elements: int = 0

    def to_dict(self) -> dict[str, Any]:
        found = self.worst
        return {
            "name": self.name,
            "shape": list(self.shape),
            "verdict": str(self.verdict),
            "index": list(found.index) if found and found.index is not None else None,
            "where": found.label if found else None,
            "analytic": _number(found.analytic) if found else None,
            "numeric": _number(found.numeric) if found else None,
            "bound": _number(found.bound) if found else None,
            "ratio": _number(found.ratio) if found else None,
            "wrong_elements": self.wrong_elements,
            "tested_elements": self.tested_elements,
            "control_rejected": self.control_rejected,
            "note": self.note,
        }


@dataclass
class Report:
    """The result of a check. `print(report)` shows all of it.

    verdict, ok          PASS, FAIL or UNRESOLVED; ok is True for PASS only
    arrays               one ArrayResult per array, by `report["weight"]` too
    findings             broken rules and notes
    causes               likely causes in words; empty when no known mistake fits
    culprit              in a network, the dotted name of the first wrong layer
    """

    name: str
    arrays: list[ArrayResult] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    culprit: str | None = None
    parts: dict[str, Report] = field(default_factory=dict)
    seconds: float = 0.0
    evaluations: int = 0
    curve: Callable[[], Curve] | None = None

    @property
    def verdict(self) -> Verdict:
        found = [array.verdict for array in self.arrays]
        found += [finding.verdict for finding in self.findings if finding.verdict is not None]
        if not found:
            return Verdict.UNRESOLVED if not self.arrays else Verdict.PASS
        return worst(found)

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.PASS

    @property
    def cause(self) -> str | None:
        """The likely cause in words, or None."""
        return " Also: ".join(self.causes) or None

    def __getitem__(self, name: str) -> ArrayResult:
        for array in self.arrays:
            if array.name == name:
                return array
        raise KeyError(f"no array {name!r} in this report; there are {[array.name for array in self.arrays]}")

    def has(self, kind: str) -> bool:
        """Whether a finding of this kind was made."""
        return any(finding.kind == kind for finding in self.findings)

    def assert_ok(self) -> Report:
        """For tests: raises AssertionError with the whole report unless the verdict is PASS."""
        if not self.ok:
            raise AssertionError(f"gradient check: {self}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, ready for json.dumps."""
        return {
            "name": self.name,
            "verdict": str(self.verdict),
            "ok": self.ok,
            "culprit": self.culprit,
            "causes": list(self.causes),
            "arrays": [array.to_dict() for array in self.arrays],
            "findings": [
                {"kind": f.kind, "text": f.text, "verdict": str(f.verdict) if f.verdict else None}
                for f in self.findings
            ],
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 6),
        }

    def __str__(self) -> str:
        from minicnn.gradcheck.tables import as_text

        return as_text(self)

    def plot(self) -> Figure:
        """Error against step with the bound, and the error by index of the worst array."""
        from minicnn.gradcheck.figures import report_figure

        return report_figure(self)


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return float(value) if np.isfinite(value) else None
