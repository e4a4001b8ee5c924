"""Optimizers: published values, their recurrences in plain numbers, groups, states, refusals."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.errors import ConfigError, DTypeError, TrainingError, WeightsError
from minicnn.layers import Layer, Linear, Parameter, ReLU, Sequential
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from tests.support.arrays import assert_close
from tests.support.strategies import seeds

CASES = json.loads((Path(__file__).parent / "reference" / "optim_losses.json").read_text())["cases"]
KINDS = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop, Adagrad)}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


# ---- what is drawn, here and for the comparison with PyTorch

rates = st.sampled_from([0.0, 1e-3, 0.1, 0.7])
decays = st.sampled_from([0.0, 0.01, 0.3])
shares = st.sampled_from([0.0, 0.5, 0.9, 0.99])


@st.composite
def optimizer_configs(draw):
    """(name of the optimizer, its options)."""
    name = draw(st.sampled_from(sorted(KINDS)))
    options = {"lr": draw(rates), "weight_decay": draw(decays), "maximize": draw(st.booleans())}
    eps = draw(st.sampled_from([1e-8, 1e-3]))
    if name == "SGD":
        options["momentum"] = draw(shares)
        options["nesterov"] = options["momentum"] > 0 and draw(st.booleans())
        options["dampening"] = 0.0 if options["nesterov"] else draw(shares)
    elif name == "RMSprop":
        options |= {
            "alpha": draw(shares),
            "momentum": draw(shares),
            "centered": draw(st.booleans()),
            "eps": eps,
        }
        if options["centered"]:
            options["alpha"] = max(options["alpha"], 0.5)  # at 0 the variance is 0, up to rounding
    elif name == "Adagrad":
        options |= {"lr_decay": draw(decays), "initial_accumulator_value": draw(decays), "eps": eps}
    else:
        options |= {"betas": (draw(shares), draw(shares)), "amsgrad": draw(st.booleans()), "eps": eps}
    return name, options


# ---- the rules


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
    # The course draws everything from NumPy's legacy streams, which never change.
    shape = (1024, 64)
    x = np.random.RandomState(1024 * 64 * 2).randint(0, 100, shape).astype(np.float32) / np.float32(20)
    labels = np.random.RandomState(1024).randint(0, 16, 1024)
    weights = np.random.RandomState(42)

    def kaiming(fan_in, fan_out):
        bound = math.sqrt(6 / fan_in)
        return (2 * bound * weights.rand(fan_in, fan_out) - bound).astype(np.float32)

    model = Sequential(Linear(64, 32), ReLU(), Linear(32, 16))
    arrays = [kaiming(64, 32).T, kaiming(32, 1)[:, 0], kaiming(32, 16).T, kaiming(16, 1)[:, 0]]
    model.load_state_dict(dict(zip(model.state_dict(), arrays)))
    optimizer = {"sgd": SGD, "adam": Adam}[case["optimizer"]](model, **case["hyper"])
    loss = CrossEntropyLoss()
    for start in range(0, 1024, 32):
        optimizer.zero_grad()
        value = loss(model(x[start : start + 32]), labels[start : start + 32])
        model.backward(loss.backward())
        optimizer.step()
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


# ---- what a step touches


@each_kind
def test_a_step_writes_values_in_place_and_leaves_gradients_alone(kind, rng):
    around = rng.standard_normal((4, 6)).astype(np.float32)
    value = around[::-2, 1::2]
    grad = np.broadcast_to(np.float32(0.5), (2, 3))
    parameter = Parameter(value, grad=grad)
    before = around.copy()
    optimizer = kind([parameter], lr=np.float64(0.1), weight_decay=np.float64(0.1))
    for _ in range(3):
        optimizer.step()
    assert parameter.value is value
    assert parameter.grad is grad
    assert (grad == 0.5).all()
    assert (before != around).sum() == value.size  # its own elements, no others
    assert all(array.dtype == np.float32 for key, array in optimizer.state["0"].items() if key != "step")


@each_kind
def test_numpys_numbers_as_options_compute_as_pythons(kind, rng):
    start, grad = rng.standard_normal((2, 50)).astype(np.float32)
    results = []
    for number in (float, np.float64):
        parameter = Parameter(start.copy(), grad=grad)
        optimizer = kind([parameter])
        optimizer.groups[0]["lr"] = number(0.1)  # np.float64 would compute the step in float64
        optimizer.step()
        optimizer.step()
        results.append(parameter.value)
    np.testing.assert_array_equal(*results)


@each_kind
def test_frozen_and_unreached_parameters_stay(kind):
    trained, frozen, unreached = (Parameter(np.ones(2), grad=np.ones(2)) for _ in range(3))
    frozen.frozen = True
    unreached.zero_grad()
    optimizer = kind([trained, frozen, unreached], weight_decay=0.1)
    optimizer.step()
    assert (trained.value != 1).all()
    assert (frozen.value == 1).all()
    assert (unreached.value == 1).all()
    assert list(optimizer.state) == ["0"]
    optimizer.zero_grad()
    assert not trained.has_grad


def test_a_replaced_layer_is_found():
    class Net(Layer):
        def __init__(self):
            self.body, self.head = Linear(3, 4), Linear(4, 2)

    model = Net()
    optimizer = SGD(model)
    model.head = Linear(4, 5)
    message = (
        r"SGD.step: parameter 'head.weight' left its model \(its layer was replaced or deleted\) after this "
        r"optimizer was made. Change the model first, then make a new optimizer"
    )
    with pytest.raises(TrainingError, match=message):
        optimizer.step()


@pytest.mark.parametrize(
    "replace",
    [
        lambda model: model.astype(np.float64),
        lambda model: setattr(model.weight, "value", model.weight.value.copy()),
    ],
    ids=["astype", "assignment"],
)
def test_a_replaced_array_is_found(replace):
    model = Linear(3, 2)
    optimizer = Adam(model)
    optimizer.step()
    replace(model)
    with pytest.raises(
        TrainingError, match=r"'weight' was given another array \(by to\(...\), astype\(...\)"
    ):
        optimizer.step()
    Adam(model).step()


def test_a_parameter_without_axes():
    for kind in KINDS.values():
        parameter = Parameter(np.zeros(()), grad=np.ones(()))
        optimizer = kind([parameter], lr=0.1, weight_decay=0.1)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step()
        assert parameter.value < 0


def test_loading_weights_keeps_the_optimizer_attached():
    model = Linear(3, 2)
    optimizer = SGD(model)
    model.load_state_dict(model.state_dict())
    optimizer.step()


# ---- parameters, groups, names


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


# ---- state dicts


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


# ---- the rest


def test_an_optimizer_of_ones_own():
    class SignSGD(Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, lr=lr)

        def update(self, value, grad, state, hyper):
            value -= hyper.lr * np.sign(grad)

    parameter = Parameter(np.zeros(2), grad=np.array([3.0, -4.0]))
    SignSGD([parameter]).step()
    np.testing.assert_array_equal(parameter.value, [-0.1, 0.1])

    class Nothing(Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define update"):
        Nothing([parameter], lr=0.1).step()


def test_importing_brings_nothing_but_numpy():
    heavy = ["numba", "cupy", "matplotlib", "PIL", "torch", "scipy", "safetensors", "tqdm", "typer"]
    code = (
        "import sys, minicnn.optim, minicnn.schedules, minicnn.losses, minicnn.init; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
