"""Which layer of a network is wrong: each is replayed with what it got, from the loss backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.gradcheck.causes import add_causes
from minicnn.gradcheck.engine import Examination, Settings
from minicnn.gradcheck.function import FunctionSubject
from minicnn.gradcheck.layer import LayerSubject, children_of, describe, duplicate, to_dtype
from minicnn.gradcheck.report import Report, Verdict


@dataclass
class Visit:
    """What one layer got during one forward and backward of the network."""

    name: str
    layer: Any
    depth: int
    leaf: bool
    x: np.ndarray | None = None
    dy: np.ndarray | None = None
    order: int = -1


def find_culprit(
    model: Any, loss: Any, x: np.ndarray, labels: Any, rng: np.random.Generator, directions: int
) -> tuple[str, Report] | None:
    """(dotted name, report) of the first wrong part: the loss, then layers going backward, then containers.

    A container is asked after everything inside it: it is wrong if its parts are right and the way
    it puts them together is not. None if every part that could be replayed is right.
    """
    visits, logits = _record(model, loss, x, labels)
    report = _check_loss(loss, logits, labels, rng, directions)
    if report is not None and report.verdict is Verdict.FAIL:
        return "loss", report
    for visit in _backwards(visits):
        if visit.x is None:
            continue
        # A fresh copy of the layer as it was before the network ran.
        subject = LayerSubject(visit.layer, visit.x, describe(visit.layer))
        examination = Examination(subject, rng, Settings(directions), upstream=visit.dy)
        report = add_causes(examination.run(), examination)
        if report.verdict is Verdict.FAIL:
            return visit.name or "the network itself", report
    return None


def _backwards(visits: list[Visit]) -> list[Visit]:
    leaves = [visit for visit in visits if visit.leaf]
    containers = [visit for visit in visits if not visit.leaf]
    leaves.sort(key=lambda visit: -visit.order)
    containers.sort(key=lambda visit: (-visit.depth, -visit.order))
    return leaves + containers


def named_layers(layer: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any, int]]:
    """(dotted name, layer, depth) of a layer and all that are inside it."""
    yield name, layer, depth
    for child_name, child in children_of(layer):
        yield from named_layers(child, f"{name}.{child_name}" if name else child_name, depth + 1)


def _record(model: Any, loss: Any, x: np.ndarray, labels: Any) -> tuple[list[Visit], Any]:
    """Run a copy of the network once, noting what every layer gets. Backward may fail on the way."""
    original = duplicate(model)
    to_dtype(original, np.float64)
    running, criterion = duplicate(original), duplicate(loss) if hasattr(loss, "forward") else loss
    visits = []
    clock = iter(range(1 << 30))
    for (name, layer, depth), (_, pristine, _) in zip(named_layers(running), named_layers(original)):
        visit = Visit(name, pristine, depth, leaf=not any(True for _ in children_of(layer)))
        _spy(layer, visit, clock)
        visits.append(visit)
    logits = None
    try:
        with np.errstate(all="ignore"):
            logits = running.forward(np.array(x, dtype=np.float64))
            if hasattr(criterion, "forward"):
                criterion.forward(logits, labels)
                running.backward(criterion.backward())
            else:
                running.backward(criterion(logits, labels)[1])
    except Exception:
        pass  # the whole check has said what was raised; what was recorded can be replayed all the same
    return visits, logits


def _spy(layer: Any, visit: Visit, clock: Iterator[int]) -> None:
    forward, backward = layer.forward, layer.backward

    def recording_forward(x: Any, *rest: Any, **options: Any) -> Any:
        if not rest and not options and hasattr(x, "dtype"):
            visit.x, visit.order = np.array(to_numpy(x)), next(clock)
        return forward(x, *rest, **options)

    def recording_backward(dy: Any, *rest: Any, **options: Any) -> Any:
        if hasattr(dy, "dtype"):
            visit.dy = np.array(to_numpy(dy))
        return backward(dy, *rest, **options)

    layer.forward, layer.backward = recording_forward, recording_backward


def _check_loss(
    loss: Any, logits: Any, labels: Any, rng: np.random.Generator, directions: int
) -> Report | None:
    if not hasattr(logits, "dtype"):
        return None  # several outputs: the loss cannot be asked on its own
    if hasattr(loss, "forward"):
        criterion = duplicate(loss)

        def forward(logits: Any) -> Any:
            return criterion.forward(logits, labels), None

        def backward(dy: Any, cache: Any) -> Any:
            return criterion.backward() * dy
    else:

        def forward(logits: Any) -> Any:
            value, dlogits = loss(logits, labels)
            return np.asarray(value), dlogits

        def backward(dy: Any, cache: Any) -> Any:
            return cache * dy

    subject = FunctionSubject(forward, backward, [np.array(to_numpy(logits))], {}, "the loss")
    subject.keeps_caches = not hasattr(loss, "forward")
    examination = Examination(subject, rng, Settings(directions))
    return add_causes(examination.run(), examination)
