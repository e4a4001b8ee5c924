"""Schedules: their formulas, who steps them, hand-over, resuming, refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, TrainingError, WeightsError
from minicnn.layers import Linear, Parameter
from minicnn.optim import SGD, Adagrad, Adam, RMSprop
from minicnn.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearWarmup,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    Schedule,
    StepLR,
)


def make_optimizer(lr=1.0, kind=SGD, groups=1, **options):
    return kind([{"params": [Parameter(np.zeros(1))]} for _ in range(groups)], lr=lr, **options)


def values(schedule, steps, metrics=None):
    """The learning rate before each step, as training sees it."""
    rates = []
    for step in range(steps):
        rates.append(schedule.optimizer.lr)
        schedule.step(None if metrics is None else metrics[step])
    return rates


# name -> a function that makes the schedule for an optimizer
MAKERS = {
    "StepLR": lambda optimizer: StepLR(optimizer, 3, gamma=0.5),
    "MultiStepLR": lambda optimizer: MultiStepLR(optimizer, [2, 5]),
    "ExponentialLR": lambda optimizer: ExponentialLR(optimizer, 0.9),
    "CosineAnnealingLR": lambda optimizer: CosineAnnealingLR(optimizer, 10, eta_min=0.01),
    "OneCycleLR": lambda optimizer: OneCycleLR(optimizer, 0.5, total_steps=20),
    "three_phase": lambda optimizer: OneCycleLR(optimizer, 0.5, total_steps=20, three_phase=True),
    "ReduceLROnPlateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=1, cooldown=1),
    "LinearWarmup": lambda optimizer: LinearWarmup(optimizer, 4),
    "warm-up, then cosine": lambda optimizer: LinearWarmup(
        optimizer, 4, after=CosineAnnealingLR(optimizer, 16, steps_by="batch")
    ),
    "warm-up, then one cycle": lambda optimizer: LinearWarmup(
        optimizer, 4, after=OneCycleLR(optimizer, 0.5, total_steps=16)
    ),
    "warm-up, then plateau": lambda optimizer: LinearWarmup(
        optimizer, 2, after=ReduceLROnPlateau(optimizer, patience=1), steps_by="epoch"
    ),
}
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


# ---- values by hand


def test_step_lr():
    assert values(StepLR(make_optimizer(), 2, gamma=0.5), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_multi_step_lr_in_any_order_and_twice():
    schedule = MultiStepLR(make_optimizer(), [4, 1, 4], gamma=0.5)
    assert values(schedule, 6) == [1, 0.5, 0.5, 0.5, 0.125, 0.125]


def test_exponential_lr():
    assert values(ExponentialLR(make_optimizer(2.0), 0.5), 4) == [2, 1, 0.5, 0.25]


def test_cosine_annealing_goes_down_and_up_again():
    schedule = CosineAnnealingLR(make_optimizer(), 4, eta_min=0.2)
    down = [1, 0.2 + 0.4 * (1 + math.sqrt(0.5)), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5)), 0.2]
    np.testing.assert_allclose(values(schedule, 9), down + down[-2::-1], rtol=1e-14)


def test_one_cycle_linear():
    optimizer = make_optimizer(momentum=0.9)
    schedule = OneCycleLR(
        optimizer,
        1.0,
        total_steps=10,
        anneal_strategy="linear",
        div_factor=5,
        final_div_factor=10,
        pct_start=0.5,
    )
    seen = []
    for _ in range(10):
        seen.append((optimizer.lr, optimizer.groups[0]["momentum"]))
        schedule.step()
    up = [0.2 + 0.8 * t / 4 for t in range(5)]
    down = [1 - (1 - 0.02) * t / 5 for t in range(1, 6)]
    momentum = [0.95 - 0.1 * t / 4 for t in range(5)] + [0.85 + 0.1 * t / 5 for t in range(1, 6)]
    np.testing.assert_allclose(seen, list(zip(up + down, momentum)), rtol=1e-13)


def test_one_cycle_three_phases_with_cosines():
    optimizer = make_optimizer(kind=Adam)
    schedule = OneCycleLR(optimizer, 1.0, epochs=5, steps_per_epoch=4, pct_start=0.25, three_phase=True)
    rates, betas = [], []
    for _ in range(20):
        rates.append(optimizer.lr)
        betas.append(optimizer.groups[0]["betas"])
        schedule.step()
    assert schedule.total_steps == 20
    np.testing.assert_allclose([rates[t] for t in (0, 4, 8, 19)], [0.04, 1, 0.04, 4e-6], rtol=1e-12)
    np.testing.assert_allclose([beta for beta, _ in betas][0:9:4], [0.95, 0.85, 0.95])
    assert all(beta1 == pytest.approx(0.95) for beta1, _ in betas[8:])
    assert {beta2 for _, beta2 in betas} == {0.999}


def test_one_cycle_without_a_way_up_starts_at_the_top():
    # 0.1 of 10 steps is one step, on which the way up would begin and end: PyTorch divides by 0 here.
    optimizer = make_optimizer()
    OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1)
    assert optimizer.lr == 1
    rates = values(OneCycleLR(make_optimizer(), 1.0, total_steps=10, pct_start=0), 10)
    assert rates == sorted(rates, reverse=True)


def test_one_cycle_can_leave_momentum_alone():
    optimizer = make_optimizer(momentum=0.5)
    schedule = OneCycleLR(optimizer, 1.0, total_steps=4, cycle_momentum=False)
    schedule.step()
    assert optimizer.groups[0]["momentum"] == 0.5
    OneCycleLR(make_optimizer(kind=Adagrad), 1.0, total_steps=4, cycle_momentum=False)
    OneCycleLR(make_optimizer(kind=RMSprop), 1.0, total_steps=4)


def test_one_cycle_with_a_value_for_each_group():
    optimizer = make_optimizer(groups=2)
    OneCycleLR(optimizer, [1.0, 0.5], total_steps=4, max_momentum=[0.9, 0.8])
    assert [group["lr"] for group in optimizer.groups] == pytest.approx([0.04, 0.02])
    assert [group["momentum"] for group in optimizer.groups] == [0.9, 0.8]


def test_plateau():
    metrics = [5, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3]
    schedule = ReduceLROnPlateau(make_optimizer(), factor=0.5, patience=1, cooldown=1)
    assert values(schedule, 11, metrics) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_takes_nan_for_no_better():
    schedule = ReduceLROnPlateau(make_optimizer(), patience=0)
    schedule.step(math.nan)
    assert schedule.optimizer.lr == pytest.approx(0.1)
    schedule.step(np.float32(1.0))
    assert schedule.best == 1.0


def test_plateau_stops_at_min_lr():
    optimizer = make_optimizer(groups=2)
    schedule = ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.05, 0.5])
    for _ in range(4):
        schedule.step(1.0)
    assert schedule.last_lr == [0.05, 0.5]


def test_plateau_leaves_out_a_drop_that_is_too_small():
    schedule = ReduceLROnPlateau(make_optimizer(), factor=0.5, patience=0, eps=0.3)
    assert values(schedule, 4, [1.0, 1.0, 1.0, 1.0]) == [1, 1, 0.5, 0.5]


def test_linear_warmup_alone():
    np.testing.assert_allclose(values(LinearWarmup(make_optimizer(), 4), 6), [0.25, 0.5, 0.75, 1, 1, 1])
    assert values(LinearWarmup(make_optimizer(), 0), 2) == [1, 1]


def test_linear_warmup_hands_over_to_the_start_of_another():
    optimizer = make_optimizer()
    schedule = LinearWarmup(optimizer, 2, after=StepLR(optimizer, 2, gamma=0.5, steps_by="batch"))
    np.testing.assert_allclose(values(schedule, 8), [0.5, 1, 1, 1, 0.5, 0.5, 0.25, 0.25])


def test_linear_warmup_before_one_cycle_reaches_its_first_value():
    optimizer = make_optimizer()
    schedule = LinearWarmup(optimizer, 2, after=OneCycleLR(optimizer, 1.0, total_steps=8))
    rates = values(schedule, 10)
    np.testing.assert_allclose(rates[:3], [0.02, 0.04, 0.04])
    np.testing.assert_allclose(rates[2:], values(OneCycleLR(make_optimizer(), 1.0, total_steps=8), 8))


def test_linear_warmup_before_a_plateau():
    optimizer = make_optimizer()
    schedule = LinearWarmup(
        optimizer, 2, after=ReduceLROnPlateau(optimizer, patience=0, factor=0.5), steps_by="epoch"
    )
    assert schedule.needs_metric
    assert values(schedule, 6, [9, 9, 9, 9, 9, 9]) == [0.5, 1, 1, 1, 0.5, 0.25]


# ---- every schedule


@given(st.integers(1, 12), st.floats(0.01, 0.99), st.floats(1e-4, 10))
def test_rates_are_never_negative_and_scale_with_the_base_rate(period, gamma, lr):
    for make in (
        lambda optimizer: StepLR(optimizer, period, gamma),
        lambda optimizer: MultiStepLR(optimizer, [period, 2 * period], gamma),
        lambda optimizer: ExponentialLR(optimizer, gamma),
        lambda optimizer: CosineAnnealingLR(optimizer, period),
        lambda optimizer: LinearWarmup(optimizer, period),
    ):
        rates = values(make(make_optimizer(lr)), 15)
        assert min(rates) >= 0
        np.testing.assert_allclose(rates, lr * np.array(values(make(make_optimizer(1.0)), 15)), rtol=1e-12)


def test_each_says_when_it_steps():
    by = {name: make(make_optimizer()).steps_by for name, make in MAKERS.items()}
    assert by["StepLR"] == by["MultiStepLR"] == by["ExponentialLR"] == by["CosineAnnealingLR"] == "epoch"
    assert by["ReduceLROnPlateau"] == "epoch"
    assert by["OneCycleLR"] == by["LinearWarmup"] == "batch"
    assert CosineAnnealingLR(make_optimizer(), 5, steps_by="batch").steps_by == "batch"
    assert CosineAnnealingLR.steps_by == "epoch"


def test_only_a_plateau_needs_a_metric():
    assert {name for name, make in MAKERS.items() if make(make_optimizer()).needs_metric} == {
        "ReduceLROnPlateau",
        "warm-up, then plateau",
    }


@each_maker
def test_every_group_goes_as_it_would_alone(make):
    both = make(SGD([{"params": Linear(1, 1), "lr": 0.5}, {"params": Linear(1, 1)}], lr=0.1))
    alone = [make(make_optimizer(lr)) for lr in (0.5, 0.1)]
    for step in range(18):
        assert both.last_lr == [schedule.optimizer.lr for schedule in alone]
        assert all(type(lr) is float for lr in both.last_lr)
        for schedule in (both, *alone):
            schedule.step(float(step))


@each_maker
@pytest.mark.parametrize("taken", [0, 3, 9])
def test_a_saved_state_goes_on_from_where_it_was(make, taken):
    metrics = [9.0, 8.0, 8.0, 8.0, 8.0, 7.0] + [7.0] * 12
    schedule = make(make_optimizer(0.3))
    values(schedule, taken, metrics)
    saved = json.loads(json.dumps(schedule.state_dict()))
    resumed = make(make_optimizer(0.7))  # the optimizer's rate comes with the schedule
    resumed.load_state_dict(saved)
    assert resumed.last_lr == schedule.last_lr
    rest = values(schedule, 18 - taken, metrics[taken:])
    assert values(resumed, 18 - taken, metrics[taken:]) == rest
    assert resumed.optimizer.groups[0]["momentum"] == schedule.optimizer.groups[0]["momentum"]


def test_states_that_do_not_fit_are_refused():
    step = StepLR(make_optimizer(), 2)
    with pytest.raises(
        WeightsError, match="does not fit this StepLR: it is the state of ExponentialLR; nothing was"
    ):
        step.load_state_dict(ExponentialLR(make_optimizer(), 0.5).state_dict())
    with pytest.raises(WeightsError, match="it is for 2 groups of parameters, this optimizer has 1"):
        step.load_state_dict(StepLR(make_optimizer(groups=2), 2).state_dict())
    with pytest.raises(WeightsError, match=r"it has the entries \['schedule', 'steps'\], expected"):
        step.load_state_dict({"schedule": "StepLR", "steps": 3})
    with pytest.raises(WeightsError, match="it is the state of something else"):
        step.load_state_dict({})
    optimizer = make_optimizer()
    warm = LinearWarmup(optimizer, 2, after=ExponentialLR(optimizer, 0.5, steps_by="batch"))
    with pytest.raises(WeightsError, match="only one of the two has a schedule after it"):
        warm.load_state_dict(LinearWarmup(make_optimizer(), 2).state_dict())


OPTIMIZER = make_optimizer()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: StepLR(Linear(1, 1), 2),
            r"StepLR: the first argument is an optimizer of minicnn.optim, got Linear",
        ),
        (lambda: StepLR(OPTIMIZER, 0), r"StepLR: step_size must be a whole number of 1 or more, got 0"),
        (lambda: StepLR(OPTIMIZER, 2.5), r"step_size must be a whole number of 1 or more, got 2.5"),
        (lambda: StepLR(OPTIMIZER, 2, gamma=-1), r"gamma must be above 0, got -1"),
        (lambda: StepLR(OPTIMIZER, 2, steps_by="step"), r'steps_by must be "batch" or "epoch", got \'step\''),
        (
            lambda: MultiStepLR(OPTIMIZER, [0, 3]),
            r"milestones must be whole numbers of 1 or more, got \[0, 3\]",
        ),
        (lambda: MultiStepLR(OPTIMIZER, [3], gamma=0), r"gamma must be above 0, got 0"),
        (lambda: ExponentialLR(OPTIMIZER, math.nan), r"gamma must be above 0, got nan"),
        (lambda: CosineAnnealingLR(OPTIMIZER, 0), r"T_max must be a whole number of 1 or more, got 0"),
        (lambda: CosineAnnealingLR(OPTIMIZER, 5, eta_min=-1), r"eta_min must be 0 or more, got -1"),
        (
            lambda: OneCycleLR(OPTIMIZER, 0.1),
            r"OneCycleLR: give its length, .* as total_steps or as epochs and steps_per_epoch; got total_steps None",
        ),
        (lambda: OneCycleLR(OPTIMIZER, 0.1, epochs=3), r"epochs 3, steps_per_epoch None"),
        (lambda: OneCycleLR(OPTIMIZER, 0.1, total_steps=0), r"got total_steps 0"),
        (lambda: OneCycleLR(OPTIMIZER, 0.1, 10, pct_start=1.5), r"pct_start must be from 0 to 1, got 1.5"),
        (lambda: OneCycleLR(OPTIMIZER, 0.1, 10, pct_start=0.6, three_phase=True), r"at most 0.5, got 0.6"),
        (
            lambda: OneCycleLR(OPTIMIZER, 0.1, 10, anneal_strategy="exp"),
            r'must be "cos" or "linear", got \'exp\'',
        ),
        (lambda: OneCycleLR(OPTIMIZER, 0.1, 10, div_factor=0), r"div_factor must be above 0, got 0"),
        (
            lambda: OneCycleLR(OPTIMIZER, 0.1, 10, final_div_factor=0),
            r"final_div_factor must be above 0, got 0",
        ),
        (lambda: OneCycleLR(OPTIMIZER, [0.1, 0.2], 10), r"max_lr has 2 values for 1 groups of parameters"),
        (lambda: OneCycleLR(OPTIMIZER, -0.1, 10), r"max_lr must be 0 or more, got -0.1"),
        (
            lambda: OneCycleLR(make_optimizer(kind=Adagrad), 0.1, 10),
            r"OneCycleLR: Adagrad has no momentum to cycle; use cycle_momentum=False",
        ),
        (lambda: ReduceLROnPlateau(OPTIMIZER, mode="best"), r'mode must be "min" or "max", got \'best\''),
        (lambda: ReduceLROnPlateau(OPTIMIZER, factor=1), r"factor must be between 0 and 1, got 1"),
        (lambda: ReduceLROnPlateau(OPTIMIZER, threshold_mode="x"), r'threshold_mode must be "rel" or "abs"'),
        (
            lambda: ReduceLROnPlateau(OPTIMIZER, min_lr=[0, 0]),
            r"min_lr has 2 values for 1 groups of parameters",
        ),
        (
            lambda: ReduceLROnPlateau(OPTIMIZER).step(),
            r"ReduceLROnPlateau needs a metric: schedule.step\(validation_loss\)",
        ),
        (lambda: LinearWarmup(OPTIMIZER, -1), r"warmup_steps must be a whole number of 0 or more, got -1"),
        (lambda: LinearWarmup(OPTIMIZER, 2, after=OPTIMIZER), r"after must be a schedule, got SGD"),
        (
            lambda: LinearWarmup(OPTIMIZER, 2, after=StepLR(make_optimizer(), 2, steps_by="batch")),
            r"after must be made for the same optimizer",
        ),
        (
            lambda: LinearWarmup(OPTIMIZER, 2, after=StepLR(OPTIMIZER, 2)),
            r'it steps by batch and after, StepLR, by epoch: make both .* StepLR\(..., steps_by="batch"\)',
        ),
    ],
)
def test_mistakes_get_an_answer(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_one_cycle_ends():
    schedule = OneCycleLR(make_optimizer(), 0.1, total_steps=3)
    for _ in range(3):
        schedule.step()  # the step after the last batch is allowed
    message = (
        r"OneCycleLR was made for 3 steps and was stepped once more: make it with .* step it once a batch"
    )
    for _ in range(2):
        with pytest.raises(TrainingError, match=message):
            schedule.step()


def test_a_schedule_of_ones_own():
    class Halving(Schedule):
        def lr_at(self, steps, base_lr):
            return base_lr / 2**steps

    assert values(Halving(make_optimizer()), 3) == [1, 0.5, 0.25]
    assert repr(Halving(make_optimizer())) == "Halving(by epoch, 0 steps, lr 1)"

    class Nothing(Schedule):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define lr_at"):
        Nothing(make_optimizer()).step()
