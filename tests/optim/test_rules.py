"""The rules: published values, and their recurrences in plain numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.layers import Linear, Parameter, ReLU, Sequential
from minicnn.optim import SGD, Adagrad, Adam, RMSprop
from tests.optim.configs import KINDS, each_kind, optimizer_configs
from tests.support.arrays import assert_close
from tests.support.course_epoch import drawn, last_loss
from tests.support.strategies import seeds

CASES = json.loads((Path(__file__).parents[1] / "reference" / "optim_losses.json").read_text())["cases"]


@pytest.mark.parametrize("case", [c for c in CASES if c["op"] == "optimizer"], ids=lambda case: case["name"])
def test_published_single_steps(case):
    parameter = Parameter(np.array(case["value"]), grad=np.array(case["grad"]))
    kind = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}[case["optimizer"]]
    optimizer = kind([parameter], **case["hyper"])
    saved = optimizer.state_dict()
    saved["steps"] = {"0": case["steps_before"]}
    saved["arrays"] = {f"0.{slot}": np.array(array) for slot, array in case["state"].items()}
    optimizer.load_state_dict(saved)
    optimizer.step()
    rtol, atol = case["tol"]
    np.testing.assert_allclose(parameter.value, case["expected_value"], rtol=rtol, atol=atol)
    for slot, expected in case["expected_state"].items():
        np.testing.assert_allclose(optimizer.state["0"][slot], expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("case", [c for c in CASES if c["op"] == "train"], ids=lambda case: case["name"])
def test_published_losses_after_an_epoch(case):
    x, labels, arrays = drawn()
    model = Sequential(Linear(64, 32), ReLU(), Linear(32, 16))
    model.load_state_dict(dict(zip(model.state_dict(), arrays)))
    optimizer = {"sgd": SGD, "adam": Adam}[case["optimizer"]](model, **case["hyper"])
    value = last_loss(model, optimizer, x, labels)
    rtol, atol = case["tol"]
    np.testing.assert_allclose(value, case["expected"]["loss"], rtol=rtol, atol=atol)


def recurrence(name, theta, grads, options):
    """One number's way, step by step, in Python floats: the formulas of the papers."""
    o = {"momentum": 0, "dampening": 0, "nesterov": False, "amsgrad": False, "centered": False} | options
    v = m = s = top = mean = None
    for t, g in enumerate(grads, start=1):
        g = -g if o["maximize"] else g
        if name == "AdamW":
            theta -= o["lr"] * o["weight_decay"] * theta
        else:
            g += o["weight_decay"] * theta
        if name == "SGD":
            v = g if v is None else o["momentum"] * v + (1 - o["dampening"]) * g
            theta -= o["lr"] * (g + o["momentum"] * v if o["nesterov"] else v if o["momentum"] else g)
        elif name in ("Adam", "AdamW"):
            b1, b2 = o["betas"]
            m = b1 * (m or 0) + (1 - b1) * g
            v = b2 * (v or 0) + (1 - b2) * g * g
            top = max(top or 0, v) if o["amsgrad"] else v
            theta -= o["lr"] * (m / (1 - b1**t)) / (math.sqrt(top / (1 - b2**t)) + o["eps"])
        elif name == "RMSprop":
            s = o["alpha"] * (s or 0) + (1 - o["alpha"]) * g * g
            mean = o["alpha"] * (mean or 0) + (1 - o["alpha"]) * g
            step = g / (math.sqrt(max(s - mean**2, 0) if o["centered"] else s) + o["eps"])
            v = o["momentum"] * (v or 0) + step
            theta -= o["lr"] * v
        else:
            s = (o["initial_accumulator_value"] if s is None else s) + g * g
            theta -= o["lr"] / (1 + (t - 1) * o["lr_decay"]) * g / (math.sqrt(s) + o["eps"])
    return theta


@settings(max_examples=150)  # enough to meet every option of every rule
@given(optimizer_configs(), seeds, st.sampled_from([(np.float64, 1e-9), (np.float32, 1e-3)]))
def test_ten_steps_follow_the_recurrence(config, seed, precision):
    (name, options), (dtype, tolerance) = config, precision
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((2, 3)).astype(dtype)
    grads = (rng.standard_normal((10, 2, 3)) + 0.5).astype(dtype)
    parameter = Parameter(start.copy())
    array = parameter.value
    optimizer = KINDS[name]([parameter], **options)
    for grad in grads:
        parameter.grad = grad
        optimizer.step()
    expected = np.array(
        [
            recurrence(name, float(start[i]), [float(g) for g in grads[:, *i]], options)
            for i in np.ndindex(2, 3)
        ]
    )
    assert parameter.value is array
    assert array.dtype == dtype
    assert {value.dtype for key, value in optimizer.state["0"].items() if key != "step"} <= {np.dtype(dtype)}
    assert_close(array, expected.reshape(2, 3), tolerance, f"{name} {options}")


def test_dampening_is_ignored_at_the_first_step():
    parameter = Parameter(np.zeros(1), grad=np.ones(1))
    optimizer = SGD([parameter], lr=1.0, momentum=0.5, dampening=0.9)
    optimizer.step()
    assert parameter.value[0] == -1
    optimizer.step()
    assert parameter.value[0] == pytest.approx(-1 - (0.5 + 0.1))


def test_adams_first_step_has_the_length_of_the_learning_rate():
    parameter = Parameter(np.zeros(3), grad=np.array([1e-3, -1.0, 1e3]))
    Adam([parameter], lr=0.1).step()
    np.testing.assert_allclose(parameter.value, [-0.1, 0.1, -0.1], rtol=1e-4)


def test_a_constant_gradient_has_no_variance_and_no_nan():
    parameter = Parameter(np.ones(4, np.float32), grad=np.full(4, 0.1, np.float32))
    optimizer = RMSprop([parameter], alpha=0.0, centered=True)
    for _ in range(20):
        optimizer.step()
    assert np.isfinite(parameter.value).all()


@each_kind
def test_every_optimizer_finds_a_minimum(kind, rng):
    target = rng.standard_normal(5)
    parameter = Parameter(np.zeros(5))
    optimizer = kind([parameter], lr=0.5 if kind is Adagrad else 0.02)
    for _ in range(500):
        parameter.grad = 2 * (parameter.value - target)
        optimizer.step()
    np.testing.assert_allclose(parameter.value, target, atol=0.06)
