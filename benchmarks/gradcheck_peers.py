"""Other gradient checkers on the same code: torch's own, and ports of two rules.

Each takes a Code and a generator, and says whether it accepts. An exception that the code raises
counts as a rejection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from minicnn.gradcheck.layer import LayerSubject
from tests.mutants.mutant import LayerAt, Pair

Arrays = Sequence[np.ndarray]


@dataclass
class Code:
    """Something to check, as a pair of functions of its arrays."""

    forward: Callable[[Arrays], tuple[np.ndarray, Any]]  # arrays -> (y, token)
    backward: Callable[[np.ndarray, Any], list[np.ndarray]]  # (dy, token) -> one gradient per array
    arrays: list[np.ndarray]


def as_code(thing: Pair | LayerAt) -> Code:
    """A layer is wound back before every forward, so that dropout draws the same mask for all checkers."""
    if isinstance(thing, Pair):

        def backward(dy: np.ndarray, token: Any) -> list[np.ndarray]:
            gradients = thing.backward(dy, token)
            return list(gradients) if isinstance(gradients, tuple) else [gradients]

        return Code(lambda arrays: thing.forward(*arrays), backward, [a.copy() for a in thing.arrays])
    subject = LayerSubject(thing.layer, thing.x, None)

    def forward(arrays: Arrays) -> tuple[np.ndarray, Any]:
        subject.begin()
        y = subject.forward(arrays)[1]
        return y, arrays

    def backward_layer(dy: np.ndarray, arrays: Any) -> list[np.ndarray]:
        forward(arrays)
        return [np.array(gradient) for gradient in subject.backward(None, dy)]

    return Code(forward, backward_layer, [value.copy() for value in subject.values])


# ---- torch.autograd.gradcheck itself, around the NumPy code


def torch_accepts(code: Code, fast: bool) -> bool:
    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: torch.Tensor) -> torch.Tensor:
            y, ctx.token = code.forward([tensor.detach().numpy() for tensor in tensors])
            return torch.tensor(np.array(y))

        @staticmethod
        def backward(ctx: Any, *dy: torch.Tensor) -> Any:
            return tuple(torch.tensor(np.array(g)) for g in code.backward(dy[0].numpy(), ctx.token))

    inputs = tuple(torch.tensor(array, requires_grad=True) for array in code.arrays)
    try:
        return torch.autograd.gradcheck(Wrapped.apply, inputs, fast_mode=fast, raise_exception=False)
    except Exception:
        return False


def torch_slow(code: Code, rng: np.random.Generator) -> bool:
    torch.manual_seed(int(rng.integers(1 << 30)))
    return torch_accepts(code, fast=False)


def torch_fast(code: Code, rng: np.random.Generator) -> bool:
    torch.manual_seed(int(rng.integers(1 << 30)))
    return torch_accepts(code, fast=True)


# ---- ports


def cs231n(code: Code, rng: np.random.Generator) -> bool:
    """eval_numerical_gradient_array with h = 1e-5, and rel_error <= 1e-6 as the assignments expect."""
    try:
        y, token = code.forward([array.copy() for array in code.arrays])
        dy = rng.standard_normal(np.shape(y))
        gradients = code.backward(dy.copy(), token)
        for position, (array, gradient) in enumerate(zip(code.arrays, gradients)):
            numeric = np.zeros(array.shape)
            for index in np.ndindex(*array.shape):
                difference = _moved(code, position, index, 1e-5) - _moved(code, position, index, -1e-5)
                numeric[index] = np.sum(difference * dy) / 2e-5
            size = np.maximum(1e-8, np.abs(numeric) + np.abs(gradient))
            if np.max(np.abs(numeric - gradient) / size) > 1e-6:
                return False
    except Exception:
        return False
    return True


def jax_check_grads(code: Code, rng: np.random.Generator) -> bool:
    """check_vjp: one Gaussian direction in all arrays at once, eps = 1e-4, tolerances 1e-5 in float64."""
    try:
        y, token = code.forward([array.copy() for array in code.arrays])
        dy = rng.standard_normal(np.shape(y))
        directions = [rng.standard_normal(array.shape) for array in code.arrays]
        gradients = code.backward(dy.copy(), token)
        plus, minus = (
            code.forward([a + s * 1e-4 * u for a, u in zip(code.arrays, directions)])[0] for s in (0.5, -0.5)
        )
        numeric = float(np.sum((plus - minus) / 1e-4 * dy))
        analytic = float(sum(np.sum(g * u) for g, u in zip(gradients, directions)))
    except Exception:
        return False
    return abs(numeric - analytic) <= 1e-5 + 1e-5 * abs(numeric)


def _moved(code: Code, position: int, index: tuple[int, ...], h: float) -> np.ndarray:
    arrays = [array.copy() for array in code.arrays]
    arrays[position][index] += h
    return np.array(code.forward(arrays)[0])


CHECKERS: dict[str, Callable[[Code, np.random.Generator], bool]] = {
    "torch slow": torch_slow,
    "torch fast": torch_fast,
    "CS231n": cs231n,
    "JAX": jax_check_grads,
}
