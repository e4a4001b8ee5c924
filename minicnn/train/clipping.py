"""Gradients that are too long are shortened before the update."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend import get_xp
from minicnn.errors import ConfigError
from minicnn.layers.base import Parameter
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


def gradient_norm(parameters: Iterable[Parameter]) -> float:
    """‖g‖₂ over all gradients together, as if they were one long vector."""
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for parameter in parameters:
            if parameter.has_grad and not parameter.frozen:
                flat = parameter.grad.reshape(-1)
                squares += float(flat.dot(flat))
    return math.sqrt(squares)


class GradientClipping(Callback):
    """g ← g · min(1, max_norm / (‖g‖₂ + 10⁻⁶)), over all gradients together (Pascanu et al. 2013).

    Or, with max_value, every number of the gradients is cut to [-max_value, max_value]. Both as PyTorch's
    clip_grad_norm_ and clip_grad_value_. `norm` is the length before the last clipping, `clipped` counts the
    batches that were shortened.
    """

    def __init__(self, max_norm: float | None = None, max_value: float | None = None) -> None:
        if (max_norm is None) == (max_value is None):
            raise ConfigError("GradientClipping: give max_norm or max_value, one of the two")
        limit = max_value if max_norm is None else max_norm
        if not limit or not limit > 0:
            raise ConfigError(f"GradientClipping: the limit must be above 0, got {limit}")
        self.max_norm, self.max_value = max_norm, max_value
        self.norm = float("nan")
        self.clipped = 0

    def after_backward(self, trainer: Trainer) -> None:
        parameters = [p for p in trainer.model.parameters() if p.has_grad and not p.frozen]
        if self.max_value is not None:
            for parameter in parameters:
                xp = get_xp(parameter.grad)
                parameter.grad = xp.clip(parameter.grad, -self.max_value, self.max_value)
            return
        assert self.max_norm is not None
        self.norm = gradient_norm(parameters)
        scale = self.max_norm / (self.norm + 1e-6)
        if scale < 1:  # not for NaN: a guard must see it
            self.clipped += 1
            for parameter in parameters:
                # A new array: whoever holds the old gradient keeps what they saw.
                parameter.grad = parameter.grad * parameter.dtype.type(scale)
