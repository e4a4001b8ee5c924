"""The rules that a forward and a backward keep, whatever they compute.

Numbers that agree are not enough: a backward that changes dy in place passes a numerical check
and breaks the network it is put into. Each rule that is broken becomes a Finding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minicnn.backend import to_numpy
from minicnn.gradcheck.closeness import close, count_bad, same
from minicnn.gradcheck.directions import random_entries, typical_scale
from minicnn.gradcheck.gradient_rules import complete, well_formed
from minicnn.gradcheck.report import Finding, Verdict
from minicnn.gradcheck.samples import sample_rules
from minicnn.gradcheck.subject import BadOutput, CodeRaised, Evaluation, Subject, as_output, same_active


@dataclass
class Protocol:
    """What the rules say about a subject, and what the engine needs to go on.

    usable is False when nothing can be compared: forward or backward raised, gradients are
    missing, or forward gives another output every time.
    """

    findings: list[Finding] = field(default_factory=list)
    base: Evaluation | None = None
    usable: bool = False
    mixes_samples: bool | None = None

    def add(self, kind: str, text: str, verdict: Verdict | None = Verdict.FAIL) -> None:
        self.findings.append(Finding(kind, text, verdict))

    def has(self, kind: str) -> bool:
        return any(finding.kind == kind for finding in self.findings)


def run_protocol(
    subject: Subject, rng: np.random.Generator, samples_independent: bool | None = None
) -> Protocol:
    """All rules, in the order in which breaking one makes the next meaningless."""
    protocol = Protocol()
    try:
        if _forward_rules(subject, protocol):
            _backward_rules(subject, protocol, rng)
        if protocol.usable and subject.values and protocol.base is not None:
            protocol.mixes_samples = sample_rules(
                subject, protocol.base, protocol.findings, rng, samples_independent
            )
    except CodeRaised as raised:
        protocol.usable = False
        verdict = Verdict.UNRESOLVED if raised.stage == "forward" else Verdict.FAIL
        advice = (
            "; nothing could be checked: does the input have the shape that this code expects?"
            if raised.stage == "forward" and protocol.base is None
            else "; it must work after every forward pass, on any dy of the output's shape"
        )
        protocol.add(f"{raised.stage} raised", f"{raised}{advice}", verdict)
    except BadOutput as bad:
        protocol.usable = False
        protocol.add("bad output", str(bad), Verdict.UNRESOLVED)
    return protocol


# ---- forward


def _forward_rules(subject: Subject, protocol: Protocol) -> bool:
    subject.begin()
    arrays = [value.copy() for value in subject.values]
    _, raw = subject.forward(arrays)
    y = as_output(raw).copy()
    active = subject.active()
    protocol.base = Evaluation(y, active)
    for name, before, now in zip(subject.names, subject.values, subject.live()):
        if not same(before, now):
            protocol.add(
                "input changed",
                f"forward changed {name} in place; others still hold that array: work on a copy",
            )
    if y.size == 0:
        protocol.add(
            "empty output", "the output has no elements: there is nothing to check", Verdict.UNRESOLVED
        )
        return False
    if not np.all(np.isfinite(y)):
        protocol.add(
            "non-finite output",
            f"forward returned {count_bad(y)} at this input; differences of such values mean nothing: "
            "check at an input of moderate size, and look for a division by zero, a log(0) or an overflowing exp",
            Verdict.UNRESOLVED,
        )
        return False
    again, active_again = subject.run(subject.values)
    if again.shape != y.shape:
        protocol.add(
            "shape changes",
            f"forward returned shape {y.shape} at the first call and {again.shape} at the second, on the same "
            "input: the output must depend on the input alone",
            Verdict.UNRESOLVED,
        )
        return False
    if not close(again, y) or not same_active(active, active_again):
        protocol.add(
            "not deterministic",
            "two forward passes on the same input from the same state differ by up to "
            f"{np.max(np.abs(again.astype(np.float64) - y)):.2g}: draw random numbers from a numpy.random.Generator "
            "kept on the layer, or pass the seed or the mask as an argument, so that the check can repeat them",
            Verdict.UNRESOLVED,
        )
        return False
    if any(np.shares_memory(to_numpy(raw), array) for array in arrays):
        protocol.add(
            "output aliases input",
            "the output shares memory with the input: writing into one changes the other",
            None,
        )
    return True


# ---- backward


def _backward_rules(subject: Subject, protocol: Protocol, rng: np.random.Generator) -> None:
    assert protocol.base is not None
    y = protocol.base.y
    v = random_entries(y.shape, rng).astype(y.dtype)
    subject.begin()
    token, kept_y = subject.forward([value.copy() for value in subject.values])
    kept_y = to_numpy(kept_y)
    dy = v.copy()
    raw = subject.backward(token, dy)
    valid = well_formed(subject, raw, y.shape, protocol.findings)
    first = subject.copies(raw) if valid else []
    if not same(dy, v):
        protocol.add(
            "dy changed",
            "backward changed dy in place; where a network forks, another layer still needs it: work on a copy",
        )
    for name, before, now in zip(subject.names, subject.values, subject.live()):
        if not same(before, now) and not protocol.has("input changed"):
            protocol.add("input changed", f"backward changed {name} in place: work on a copy")
    if not same(kept_y, y) and not same(kept_y, v):
        protocol.add("output changed", "backward wrote into the array that forward had returned")
    if not (complete(subject, raw, y, protocol.findings, rng) and valid):
        return
    protocol.usable = True
    _repeats(subject, protocol, v, first)
    _is_linear(subject, protocol, v, first, rng)
    _survives_second_forward(subject, protocol, v, first, rng)
    if subject.accumulates:
        _accumulates(subject, protocol, v, first)


def _repeats(subject: Subject, protocol: Protocol, v: np.ndarray, first: list[np.ndarray]) -> None:
    second = subject.gradients(v)
    wrong = [name for name, a, b in zip(subject.names, first, second) if not close(a, b)]
    if wrong:
        protocol.add(
            "backward not deterministic",
            f"two backward passes from the same state give different gradients for {', '.join(wrong)}: what forward "
            "drew or computed must be kept in the cache, not drawn again",
        )


def _is_linear(
    subject: Subject, protocol: Protocol, v: np.ndarray, first: list[np.ndarray], rng: np.random.Generator
) -> None:
    if any(np.any(gradient) for gradient in subject.gradients(v * 0)):
        protocol.add(
            "backward(0) is not 0",
            "backward of dy = 0 is not 0: every term of a gradient contains dy as a factor",
        )
        return
    w = random_entries(v.shape, rng).astype(v.dtype)
    other = subject.gradients(w)
    both = subject.gradients(2 * v - 3 * w)
    eps = float(np.finfo(v.dtype).eps)
    for name, a, b, c in zip(subject.names, first, other, both):
        size = 2 * np.max(np.abs(a), initial=0) + 3 * np.max(np.abs(b), initial=0)
        if np.max(np.abs(c - (2 * a - 3 * b)), initial=0) > 1e7 * eps * size + 1e5 * eps:
            protocol.add(
                "not linear in dy",
                f"the gradient of {name} is not linear in dy: backward(2v − 3w) differs from "
                "2 backward(v) − 3 backward(w). A mask or a scale is taken from dy where it should come from the "
                "forward pass",
            )
            return


def _survives_second_forward(
    subject: Subject, protocol: Protocol, v: np.ndarray, first: list[np.ndarray], rng: np.random.Generator
) -> None:
    """For functions: an older cache still works. For layers: a newer forward replaces an older one."""
    assert protocol.base is not None
    others = [value + typical_scale(value) * random_entries(value.shape, rng) for value in subject.values]
    subject.begin()
    if subject.keeps_caches:
        token, y = subject.forward([value.copy() for value in subject.values])
        kept = to_numpy(y)
        subject.forward(others)
        newest = kept
    else:
        _, y = subject.forward(others)
        kept, kept_copy = to_numpy(y), to_numpy(y).copy()
        token, newest = subject.forward([value.copy() for value in subject.values])
        if not same(kept, kept_copy):
            protocol.add(
                "output overwritten",
                "a second forward pass changed the array that the first one had returned: return a new array each time",
            )
            return
    if not close(to_numpy(newest), protocol.base.y):
        if subject.keeps_caches:
            protocol.add(
                "output overwritten",
                "a second forward pass changed the array that the first one had returned: return a new array each time",
            )
        return  # a layer that draws a new mask in its second forward: nothing to compare with
    again = subject.copies(subject.backward(token, v.copy()))
    wrong = [name for name, a, b in zip(subject.names, first, again) if not close(a, b, 1e4)]
    if wrong:
        what = (
            "backward used the cache of another forward pass: each forward must return a cache of its own"
            if subject.keeps_caches
            else "after two forward passes backward did not use the second: forward must replace the whole cache"
        )
        protocol.add("stale cache", f"{what} (gradients of {', '.join(wrong)})")


def _accumulates(subject: Subject, protocol: Protocol, v: np.ndarray, first: list[np.ndarray]) -> None:
    assert protocol.base is not None
    subject.begin()
    for _ in range(2):
        token, y = subject.forward([value.copy() for value in subject.values])
        if not close(to_numpy(y), protocol.base.y):
            return  # a new mask was drawn: the second round has another gradient
        raw = subject.backward(token, v.copy())
    wrong = [
        name
        for name, once, twice in list(zip(subject.names, first, subject.copies(raw)))[1:]
        if not close(2 * once, twice, 1e4)
    ]
    if wrong:
        protocol.add(
            "not accumulated",
            f"after two rounds of forward and backward the gradient of {', '.join(wrong)} is not the sum of both: "
            "add to the gradient (+=) until zero_grad() is called; a weight used twice depends on it. (For layers that "
            "are meant to overwrite, pass accumulates=False)",
        )
