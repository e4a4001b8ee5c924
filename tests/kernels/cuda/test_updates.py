"""Optimizer steps on the GPU agree with the definition in float64, step after step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.kernels import using
from minicnn.layers import Linear
from minicnn.optim import SGD, Adam, AdamW, Optimizer
from tests.kernels.cuda.runner import in_every_order

RULES: dict[str, Any] = {
    "plain": lambda model: SGD(model, lr=0.1, weight_decay=0.01),
    "momentum": lambda model: SGD(model, lr=0.1, momentum=0.9, dampening=0.1),
    "nesterov": lambda model: SGD(model, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda model: Adam(model, lr=0.05, weight_decay=0.01, eps=1e-2),
    "adamw": lambda model: AdamW(model, lr=0.05, weight_decay=0.1),
    "amsgrad": lambda model: Adam(model, lr=0.05, amsgrad=True),
}


def three_steps(rule: str, dtype: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    model = Linear(17, 19, rng=rng).astype(dtype)
    optimizer: Optimizer = RULES[rule](model)
    for _ in range(3):
        for parameter in model.parameters():
            parameter.grad = rng.standard_normal(parameter.shape).astype(dtype)
        optimizer.step()
    return tuple(parameter.value for parameter in model.parameters())


def check_rule(rule: str) -> None:
    results = in_every_order(lambda: three_steps(rule, np.float32))
    with using("reference"):
        exact = three_steps(rule, np.float64)
    for result, value in zip(results, exact):
        np.testing.assert_allclose(result, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_three_steps(rule: str) -> None:
    check_rule(rule)
