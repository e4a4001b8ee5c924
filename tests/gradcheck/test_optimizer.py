"""Our optimizers follow their published rules; so can a student's, in other styles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn import layers, optim
from minicnn.errors import ConfigError
from minicnn.gradcheck import Verdict, check_optimizer

OURS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.01}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.01, "eps": 1e-3}),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "settings"), OURS)
def test_our_optimizers_follow_their_rules(
    name: str, settings: dict[str, Any], dtype: str, rng: np.random.Generator
) -> None:
    parameters = [layers.Parameter(rng.standard_normal(shape).astype(dtype)) for shape in ((3, 4), (5,))]
    start = [parameter.value.copy() for parameter in parameters]
    optimizer = getattr(optim, name)(parameters, **settings)
    for seed in range(5):
        check_optimizer(optimizer, rng=seed).assert_ok()
    assert all(np.array_equal(p.value, before) for p, before in zip(parameters, start)), "a copy is stepped"
    assert not any(parameter.has_grad for parameter in parameters)


def test_groups_keep_their_own_settings(rng: np.random.Generator) -> None:
    one, two = (layers.Parameter(rng.standard_normal(3)) for _ in range(2))
    optimizer = optim.SGD([{"params": [one], "lr": 0.5}, {"params": [two], "momentum": 0.9}], lr=0.1)
    check_optimizer(optimizer).assert_ok()


def sgd_momentum(w: np.ndarray, dw: np.ndarray, config: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    v = config.get("velocity", np.zeros_like(w))
    config["velocity"] = config["momentum"] * v - config["learning_rate"] * dw
    return w + config["velocity"], config


def adam(w: np.ndarray, dw: np.ndarray, config: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    config["t"] = config.get("t", 0) + 1
    config["m"] = config["beta1"] * config.get("m", 0) + (1 - config["beta1"]) * dw
    config["v"] = config["beta2"] * config.get("v", 0) + (1 - config["beta2"]) * dw**2
    m, v = (
        config["m"] / (1 - config["beta1"] ** config["t"]),
        config["v"] / (1 - config["beta2"] ** config["t"]),
    )
    return w - config["learning_rate"] * m / (np.sqrt(v) + config["epsilon"]), config


def test_update_functions_in_the_style_of_cs231n() -> None:
    check_optimizer(sgd_momentum, lr=0.01, momentum=0.9).assert_ok()
    check_optimizer(adam, lr=0.01).assert_ok()
    wrong = check_optimizer(lambda w, dw, c: adam(w, -dw, c), rule="adam", lr=0.01)
    assert wrong.verdict is Verdict.FAIL
    assert "uphill" in str(wrong.cause)


def test_a_step_that_changes_the_gradient_is_found(rng: np.random.Generator) -> None:
    class Careless(optim.SGD):
        def update(self, value: Any, grad: Any, state: Any, hyper: Any) -> None:
            grad *= hyper.lr
            value -= grad

    report = check_optimizer(Careless([layers.Parameter(rng.standard_normal(4))], lr=0.1), rule="sgd")
    assert report.has("gradient changed")
    assert report.verdict is Verdict.FAIL


def test_the_report_says_at_which_step_and_element(rng: np.random.Generator) -> None:
    class LateFault(optim.SGD):
        def update(self, value: Any, grad: Any, state: Any, hyper: Any) -> None:
            super().update(value, grad, state, hyper)
            if state["step"] == 3:
                value[1] += 1.0

    report = check_optimizer(LateFault([layers.Parameter(rng.standard_normal(4))], lr=0.1), rule="sgd")
    assert "part from the rule at step 3" in str(report)
    assert report.arrays[0].worst is not None
    assert report.arrays[0].worst.index == (1,)
    assert report.causes == []


def test_what_is_not_known_is_asked_for() -> None:
    class Mystery:
        def step(self) -> None:
            pass

    with pytest.raises(ConfigError, match=r"no published rule is known for 'Mystery': pass rule="):
        check_optimizer(Mystery())
    with pytest.raises(ConfigError, match="no parameters were found"):
        check_optimizer(Mystery(), rule="sgd")
    with pytest.raises(ConfigError, match="learning rate of sgd_momentum was not found"):
        check_optimizer(sgd_momentum)


def test_a_step_that_raises_is_reported(rng: np.random.Generator) -> None:
    class Raises(optim.SGD):
        def update(self, value: Any, grad: Any, state: Any, hyper: Any) -> None:
            raise ZeroDivisionError("lr")

    report = check_optimizer(Raises([layers.Parameter(rng.standard_normal(4))], lr=0.1), rule="sgd")
    assert report.verdict is Verdict.FAIL
    assert "step raised ZeroDivisionError" in str(report)
