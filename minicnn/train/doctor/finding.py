"""What the doctor says: findings with a verdict in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "note", "fault"]
_MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


@dataclass(frozen=True)
class Finding:
    """One check. fault: its name in a few words, "" where nothing is wrong."""

    check: str
    verdict: Verdict
    text: str  # what was measured, what was expected, what to do
    fault: str = ""

    def __str__(self) -> str:
        name = f"{self.fault}: " if self.fault else ""
        return f"{_MARKS[self.verdict]}  {self.check:<18} {name}{self.text}"


@dataclass
class Diagnosis:
    """All findings, and the figures (plots.Picture) by file name, drawn when asked for."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """The names of what is wrong, in the order of the checks: the first may cause the others."""
        return [finding.fault for finding in self.findings if finding.verdict == "fault"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"faults": self.faults, "findings": [asdict(finding) for finding in self.findings]}

    def __str__(self) -> str:
        if not self.faults:
            verdict = "nothing is wrong: train."
        elif len(self.faults) == 1:
            verdict = f"one fault: {self.faults[0]}."
        else:
            verdict = (
                f"{len(self.faults)} faults. Mend the first one, {self.faults[0]}, and look again: "
                "it may cause the others."
            )
        return "\n".join([*map(str, self.findings), "", verdict])


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def note(check: str, text: str) -> Finding:
    return Finding(check, "note", text)


def fault(check: str, name: str, text: str) -> Finding:
    return Finding(check, "fault", text, name)
