"""What is being checked, seen by the engine: named arrays in, one array out, gradients back.

A pair of functions, a layer and a whole network with its loss all become a Subject. It always
computes in float64 and every call starts from the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import to_numpy
from minicnn.gradcheck.snapshot import GlobalRandomness

ActiveSet = tuple[np.ndarray, ...]


class Evaluation(NamedTuple):
    """One forward pass: its output, and which pieces were active (None when the code does not tell)."""

    y: np.ndarray
    active: ActiveSet | None


class CodeRaised(Exception):
    """The code under test raised. `stage` is "forward" or "backward", `cause` what it raised."""

    def __init__(self, stage: str, cause: BaseException) -> None:
        super().__init__(f"{stage} raised {type(cause).__name__}: {cause}")
        self.stage = stage
        self.cause = cause


class BadOutput(Exception):
    """forward returned something that is not an array of real numbers."""


class Subject:
    """The base class: a differentiable y = f(values) with an analytic vector-Jacobian product.

    names, values: the arrays that gradients are wanted for, float64.
    composite: made of several layers, so that corners can add up inside.
    knows_active_set: evaluations tell the active set, in which corners show.
    accumulates: gradients of a second backward must add to those of the first.
    keeps_caches: every forward returns a cache of its own, and older ones stay good.
    stacks: values[0] may be stacked along its batch axis (found out by the protocol).
    """

    name: str = "function"
    names: list[str]
    values: list[np.ndarray]
    composite: bool = False
    knows_active_set: bool = False
    accumulates: bool = False
    keeps_caches: bool = False
    stacks: bool = False

    # ---- what a kind of subject defines

    def begin(self) -> None:
        """Put the state back to what it was before the check."""
        raise NotImplementedError

    def forward(self, arrays: Sequence[np.ndarray]) -> tuple[Any, Any]:
        """One forward pass on these very arrays, from the present state: (token for backward, output)."""
        raise NotImplementedError

    def backward(self, token: Any, dy: np.ndarray) -> list[Any]:
        """One gradient per array, as the code gives them; None where it gives none."""
        raise NotImplementedError

    def live(self) -> list[np.ndarray]:
        """The arrays that the last forward worked on, to see whether it changed them."""
        raise NotImplementedError

    def active(self) -> ActiveSet | None:
        """The active set of the last forward; None if the code does not tell."""
        return None

    def with_fewer_samples(self) -> Subject | None:
        """The same with the last sample of the batch left out; None if there is no such thing."""
        return None

    # ---- what the engine uses

    def run(self, values: Sequence[np.ndarray]) -> Evaluation:
        """One forward pass from the initial state."""
        self.begin()
        _, y = self.forward([value.copy() for value in values])
        return Evaluation(as_output(y), self.active())

    def gradients(self, dy: np.ndarray) -> list[np.ndarray]:
        """Forward at `values` from the initial state, then backward of dy."""
        self.begin()
        token, _ = self.forward([value.copy() for value in self.values])
        return self.copies(self.backward(token, dy.copy()))

    def copies(self, gradients: Sequence[Any]) -> list[np.ndarray]:
        """NumPy copies in float64; no gradient (None) says what zeros say, and is checked as zeros are."""
        return [
            np.zeros_like(value) if gradient is None else np.array(to_numpy(gradient), dtype=np.float64)
            for value, gradient in zip(self.values, gradients)
        ]

    def with_value(self, index: int, value: np.ndarray) -> list[np.ndarray]:
        """The values, one of them replaced."""
        return [value if i == index else other for i, other in enumerate(self.values)]


def call(stage: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Run the code under test. Its warnings about overflow are not news; its exceptions are wrapped."""
    try:
        with np.errstate(all="ignore"):
            return function(*arguments, **options)
    except Exception as error:
        raise CodeRaised(stage, error) from error


def as_output(y: Any) -> np.ndarray:
    """The output as a NumPy array of real numbers, kept in its precision."""
    if isinstance(y, (tuple, list, dict)) or y is None:
        raise BadOutput(f"forward returned a {type(y).__name__}; the check needs one array")
    array = to_numpy(y)
    if array.dtype.kind != "f":
        raise BadOutput(
            f"forward returned {array.dtype} values for float64 input; a gradient needs real numbers: "
            "compute in floating point, without integer arrays or .astype(int) on the way"
        )
    return array


def as_active(signature: Any) -> ActiveSet:
    """An active set as NumPy arrays that later calls cannot change."""
    return tuple(np.array(to_numpy(part)) for part in signature)


def same_active(one: ActiveSet | None, other: ActiveSet | None) -> bool:
    """Whether two evaluations lie on the same smooth piece, as far as the code tells."""
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


class Repeatable:
    """Runs code with NumPy's and Python's global generators put back first, if it uses them."""

    def __init__(self) -> None:
        self._randomness = GlobalRandomness()
        self._needed: bool | None = None

    def rewind(self) -> None:
        if self._needed is not False:
            self._randomness.restore()

    def settle(self) -> None:
        """After the first forward and backward: from now on rewind only if it drew from them."""
        self._needed = self._randomness.was_used()
        self._randomness.restore()
