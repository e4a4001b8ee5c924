"""State dicts: training goes on from them bit for bit, and what does not fit changes nothing."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given

from minicnn.errors import WeightsError
from minicnn.layers import Linear, Sequential
from minicnn.optim import Adam
from tests.optim.configs import KINDS, optimizer_configs
from tests.support.strategies import seeds


def take_steps(optimizer, count, rng):
    for _ in range(count):
        for group in optimizer.groups:
            for parameter in group["params"]:
                parameter.grad = rng.standard_normal(parameter.shape).astype(parameter.dtype)
        optimizer.step()


@given(optimizer_configs(), seeds)
def test_a_saved_state_goes_on_bit_for_bit(config, seed):
    name, options = config
    model = Sequential(Linear(2, 3), Linear(3, 1, bias=False))
    optimizer = KINDS[name](model, **options)
    take_steps(optimizer, 3, np.random.default_rng(seed))
    saved = optimizer.state_dict()
    plain = {key: value for key, value in saved.items() if key != "arrays"}
    saved = json.loads(json.dumps(plain)) | {"arrays": saved["arrays"]}
    assert all(array.flags.c_contiguous for array in saved["arrays"].values())

    twin = copy.deepcopy(model)
    resumed = KINDS[name](twin)
    resumed.load_state_dict(saved)
    assert repr(resumed) == repr(optimizer)
    for one in (optimizer, resumed):
        take_steps(one, 3, np.random.default_rng(seed + 1))
    for (_, ours), (_, theirs) in zip(model.named_parameters(), twin.named_parameters()):
        np.testing.assert_array_equal(ours.value, theirs.value)


def test_the_state_dict_is_as_documented(rng):
    optimizer = Adam(Linear(2, 3, bias=False), lr=0.5)
    take_steps(optimizer, 2, rng)
    saved = optimizer.state_dict()
    arrays = saved.pop("arrays")
    assert saved == {
        "optimizer": "Adam",
        "groups": [
            {
                "params": ["weight"],
                "lr": 0.5,
                "betas": [0.9, 0.999],
                "eps": 1e-8,
                "weight_decay": 0.0,
                "amsgrad": False,
                "maximize": False,
            }
        ],
        "steps": {"weight": 2},
    }
    assert sorted(arrays) == ["weight.exp_avg", "weight.exp_avg_sq"]
    arrays["weight.exp_avg"][...] = 7  # a copy
    assert (optimizer.state["weight"]["exp_avg"] != 7).all()


def test_loading_copies_and_keeps_the_parameters_dtype(rng):
    optimizer = Adam(Linear(2, 3, bias=False))
    take_steps(optimizer, 2, rng)
    saved = optimizer.state_dict()
    double = Adam(Linear(2, 3, bias=False).astype(np.float64))
    double.load_state_dict(saved)
    assert double.state["weight"]["exp_avg"].dtype == np.float64
    optimizer.load_state_dict(saved)
    saved["arrays"]["weight.exp_avg"][...] = 7
    assert (optimizer.state["weight"]["exp_avg"] != 7).all()


def _without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda s: s | {"optimizer": "SGD"},
            r"does not fit this Adam: it is the state of SGD. Nothing was loaded",
        ),
        (lambda s: {}, r"it is the state of something else"),
        (lambda s: s | {"groups": []}, r"it has 0 groups of parameters instead of 1"),
        (
            lambda s: s | {"groups": [s["groups"][0] | {"params": ["weight"]}]},
            r"missing parameters of group 0: bias",
        ),
        (
            lambda s: s | {"groups": [s["groups"][0] | {"params": ["weight", "bias", "gain"]}]},
            r"unexpected parameters of group 0: gain",
        ),
        (lambda s: s | {"groups": [_without(s["groups"][0], "eps")]}, r"missing options of group 0: eps"),
        (lambda s: s | {"steps": s["steps"] | {"gain": 1}}, r"unexpected parameters with a step: gain"),
        (lambda s: s | {"arrays": _without(s["arrays"], "bias.exp_avg")}, r"missing arrays: bias.exp_avg"),
        (
            lambda s: s | {"arrays": s["arrays"] | {"bias.momentum_buffer": np.zeros(3)}},
            r"unexpected arrays: bias.momentum_buffer",
        ),
        (
            lambda s: s | {"arrays": s["arrays"] | {"bias.exp_avg": np.zeros((3, 1))}},
            r"array bias.exp_avg has shape \(3, 1\), its parameter \(3,\)",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(damage, message, rng):
    optimizer = Adam(Linear(2, 3))
    take_steps(optimizer, 2, rng)
    saved = optimizer.state_dict()
    optimizer.lr = 0.125
    take_steps(optimizer, 1, rng)
    before = optimizer.state_dict()
    with pytest.raises(WeightsError, match=message):
        optimizer.load_state_dict(damage(saved))
    after = optimizer.state_dict()
    for name, array in before.pop("arrays").items():
        np.testing.assert_array_equal(after["arrays"][name], array)
    assert before == _without(after, "arrays")
