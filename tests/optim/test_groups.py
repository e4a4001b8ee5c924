"""Parameters, groups, names and options, and what is refused."""

import math

import numpy as np
import pytest

from minicnn.errors import ConfigError, DTypeError
from minicnn.layers import Linear, Parameter, ReLU, Sequential
from minicnn.optim import SGD, Adagrad, Adam, AdamW, RMSprop


def names(optimizer):
    return [group["names"] for group in optimizer.groups]


def test_parameters_come_as_a_layer_parameters_or_pairs():
    model = Sequential(Linear(2, 3), Linear(3, 1))
    of_layer = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert names(SGD(model)) == [of_layer]
    assert names(SGD(model.named_parameters())) == [of_layer]
    assert names(SGD(model.parameters())) == [["0", "1", "2", "3"]]
    assert names(SGD(next(model.parameters()))) == [["0"]]


def test_groups_have_options_of_their_own():
    first, second = Linear(2, 3), Linear(3, 1)
    optimizer = SGD([{"params": first, "lr": 0.5}, {"params": second.parameters(), "momentum": 0.9}], lr=0.1)
    assert [(group["lr"], group["momentum"]) for group in optimizer.groups] == [(0.5, 0.0), (0.1, 0.9)]
    assert names(optimizer) == [["weight", "bias"], ["2", "3"]]
    for parameter in (first.weight, second.weight):
        parameter.value[...] = 0
        parameter.grad = np.ones(parameter.shape, np.float32)
    optimizer.step()
    np.testing.assert_array_equal(first.weight.value, np.float32(-0.5))
    np.testing.assert_array_equal(second.weight.value, np.float32(-0.1))


def test_names_that_two_groups_use_get_a_prefix():
    optimizer = SGD([{"params": Linear(2, 3)}, {"params": Linear(3, 1)}])
    assert names(optimizer) == [["group0.weight", "group0.bias"], ["group1.weight", "group1.bias"]]


def test_a_shared_parameter_is_trained_once():
    first, second = Linear(2, 2), Linear(2, 2)
    second.weight = first.weight
    assert names(SGD(Sequential(first, second))) == [["0.weight", "0.bias", "1.bias"]]


def test_lr_reads_the_first_group_and_sets_all():
    optimizer = Adam([{"params": Linear(2, 3), "lr": 0.5}, {"params": Linear(3, 1)}], lr=0.1)
    assert optimizer.lr == 0.5
    optimizer.lr = np.float32(0.25)
    assert [group["lr"] for group in optimizer.groups] == [0.25, 0.25]
    with pytest.raises(ConfigError, match="Adam: lr must be a number of 0 or more, got -1"):
        optimizer.lr = -1


def test_defaults_are_pytorchs():
    model = Linear(2, 2)
    assert repr(SGD(model)) == (
        "SGD(lr=0.001, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False)"
    )
    assert repr(Adam(model)) == (
        "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False, maximize=False)"
    )
    assert repr(AdamW(model)) == (
        "AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False, maximize=False)"
    )
    assert repr(RMSprop(model)) == (
        "RMSprop(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=0.0, momentum=0.0, centered=False, maximize=False)"
    )
    assert repr(Adagrad(model)) == (
        "Adagrad(lr=0.01, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, maximize=False)"
    )


PARAMETER = Parameter(np.zeros(2))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (ReLU(), ConfigError, r"SGD got no parameters to train: pass a layer that has some"),
        ([], ConfigError, r"no parameters to train: .* \(a generator can be read only once\)"),
        ([{"params": []}], ConfigError, r"no parameters to train"),
        ([np.zeros(2)], ConfigError, r"SGD expects Parameters, got ndarray: pass the layer itself"),
        (
            [ReLU()],
            ConfigError,
            r"SGD expects Parameters, got ReLU: pass the layer itself or layer.parameters\(\)",
        ),
        (3, ConfigError, r"SGD expects a layer, Parameters or a list of groups, got int"),
        ({"params": [PARAMETER]}, ConfigError, r"SGD got a dict: a group must stand in a list"),
        ([{"lr": 0.1}], ConfigError, r'a group is a dict \{"params": ..., "lr": ...\}, got \{\'lr\''),
        ([{"params": [PARAMETER]}, PARAMETER], ConfigError, r"a group is a dict"),
        (
            [{"params": [PARAMETER], "learning_rate": 1}],
            ConfigError,
            r"SGD has no option 'learning_rate': .*known: .*lr, maximize",
        ),
        (
            [{"params": [PARAMETER]}, {"params": [PARAMETER]}],
            ConfigError,
            r"parameter '1' of shape \(2,\) was given twice \(first as '0'\): each parameter belongs to one group",
        ),
        ([PARAMETER, PARAMETER], ConfigError, r"was given twice"),
        (
            [("weight", PARAMETER), ("weight", Parameter(np.zeros(2)))],
            ConfigError,
            r"2 parameters of one group are all named 'group0.weight'",
        ),
        ([Parameter(np.zeros(2, int))], DTypeError, r"SGD trains floating-point parameters, but .* is int64"),
    ],
)
def test_wrong_parameters_get_an_answer(params, error, message):
    with pytest.raises(error, match=message):
        SGD(params)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SGD, {"lr": -0.1}, r"SGD: lr must be a number of 0 or more, got -0.1"),
        (SGD, {"lr": math.nan}, r"lr must be a number of 0 or more, got nan"),
        (SGD, {"lr": math.inf}, r"lr must be a number"),
        (SGD, {"lr": "0.1"}, r"lr must be a number of 0 or more, got '0.1'"),
        (SGD, {"lr": True}, r"lr must be a number"),
        (SGD, {"lr": None}, r"lr must be a number"),
        (SGD, {"momentum": -1}, r"SGD: momentum must be a number of 0 or more, got -1"),
        (SGD, {"dampening": "much"}, r"dampening must be a number, got 'much'"),
        (SGD, {"nesterov": True}, r"nesterov needs momentum > 0 and dampening = 0, got momentum 0.0"),
        (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, r"nesterov needs .* dampening 0.1"),
        (
            Adam,
            {"betas": (0.9, 1.0)},
            r"Adam: betas must be a pair of numbers from 0 up to but not including 1",
        ),
        (Adam, {"betas": 0.9}, r"betas must be a pair of numbers"),
        (Adam, {"betas": (0.9,)}, r"betas must be a pair of numbers"),
        (AdamW, {"eps": -1}, r"AdamW: eps must be a number of 0 or more, got -1"),
        (AdamW, {"weight_decay": -1}, r"AdamW: weight_decay must be a number of 0 or more, got -1"),
        (RMSprop, {"alpha": 1.5}, r"RMSprop: alpha must be a number from 0 to 1, got 1.5"),
        (Adagrad, {"lr_decay": -1}, r"Adagrad: lr_decay must be a number of 0 or more, got -1"),
        (
            Adagrad,
            {"initial_accumulator_value": -1},
            r"initial_accumulator_value must be a number of 0 or more",
        ),
    ],
)
def test_wrong_options_get_an_answer(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        kind(Linear(2, 2), **options)
    with pytest.raises(ConfigError, match=message):
        kind([{"params": Linear(2, 2), **options}])
