"""A Mutant: a pair of functions or a layer with one mistake that can be switched on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minicnn.gradcheck import Report, check_function, check_layer


class Pair(NamedTuple):
    """A pure pair and the arrays to check it at."""

    forward: Callable[..., tuple[np.ndarray, Any]]
    backward: Callable[[np.ndarray, Any], Any]
    arrays: tuple[np.ndarray, ...]


class LayerAt(NamedTuple):
    """A layer and the input to check it at."""

    layer: Any
    x: np.ndarray


@dataclass(frozen=True)
class Mutant:
    """build(broken, rng) gives the wrong code or its correct twin.

    words: what the report must say, one of them; empty for a mistake that has no name: then no
    cause may be given. named_by: "cause" or "finding", where the words are to stand.
    """

    name: str
    build: Callable[[bool, np.random.Generator], Pair | LayerAt]
    words: tuple[str, ...] = field(default=())
    named_by: str = "cause"

    def check(self, seed: int, broken: bool) -> Report:
        thing = self.build(broken, np.random.default_rng(1000 + seed))
        if isinstance(thing, LayerAt):
            return check_layer(thing.layer, thing.x, rng=seed, name=self.name)
        return check_function(thing.forward, thing.backward, *thing.arrays, rng=seed, name=self.name)

    def said(self, report: Report) -> bool:
        """Whether the report names the mistake."""
        if self.named_by == "cause":
            text = " ".join(report.causes)
        else:
            text = " ".join(finding.text for finding in report.findings)
        return any(word in text for word in self.words)

    def __str__(self) -> str:
        return self.name
