"""Every schedule, step by step, side by side with torch.optim.lr_scheduler, over drawn arguments."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import optim, schedules
from minicnn.layers import Parameter
from tests.support.strategies import seeds

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

lrs = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=2)
gammas = st.floats(0.1, 1.0)
periods = st.integers(1, 30)

simple_configs = st.one_of(
    st.tuples(st.just("StepLR"), st.fixed_dictionaries({"step_size": periods, "gamma": gammas})),
    st.tuples(
        st.just("MultiStepLR"),
        st.fixed_dictionaries({"milestones": st.lists(periods, max_size=4), "gamma": gammas}),
    ),
    st.tuples(st.just("ExponentialLR"), st.fixed_dictionaries({"gamma": gammas})),
    st.tuples(
        st.just("CosineAnnealingLR"), st.fixed_dictionaries({"T_max": periods, "eta_min": st.floats(0, 0.1)})
    ),
)


@st.composite
def one_cycles(draw):
    three_phase = draw(st.booleans())
    total = draw(st.integers(1, 50))
    pct_start = draw(st.floats(0.01, 0.5 if three_phase else 0.99))
    if abs(pct_start * total - 1) < 1e-6:
        pct_start *= 0.9  # PyTorch would divide by 0
    return {
        "max_lr": draw(st.floats(1e-3, 1.0)),
        "total_steps": total,
        "pct_start": pct_start,
        "anneal_strategy": draw(st.sampled_from(["cos", "linear"])),
        "cycle_momentum": draw(st.booleans()),
        "base_momentum": draw(st.floats(0.5, 0.9)),
        "max_momentum": draw(st.floats(0.9, 0.99)),
        "div_factor": draw(st.floats(1, 50)),
        "final_div_factor": draw(st.floats(1, 1e4)),
        "three_phase": three_phase,
    }


def make_pair(rates, kind="SGD", **options):
    """The same optimizer of both libraries, with a group for each rate."""
    ours = getattr(optim, kind)([{"params": [Parameter(np.zeros(1))], "lr": lr} for lr in rates], **options)
    theirs = getattr(torch.optim, kind)(
        [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in rates], **options
    )
    return ours, theirs


def assert_alike(ours, theirs, step):
    for group, reference in zip(ours.groups, theirs.param_groups):
        for option in ("lr", "momentum", "betas"):
            if option in group:
                np.testing.assert_allclose(
                    group[option],
                    reference[option],
                    rtol=1e-12,
                    atol=1e-13,
                    err_msg=f"{option} at step {step}",
                )


def run_both(ours, theirs, schedule, reference, steps, metrics=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch wants optimizer.step() between
        for step in range(steps):
            assert_alike(ours, theirs, step)
            assert schedule.last_lr == pytest.approx(reference.get_last_lr(), rel=1e-12, abs=1e-13)
            for one in (schedule, reference):
                one.step(*([] if metrics is None else [metrics[step]]))
        assert_alike(ours, theirs, steps)


@settings(max_examples=100)
@given(lrs, simple_configs)
def test_simple_schedules(rates, config):
    name, options = config
    ours, theirs = make_pair(rates)
    schedule = getattr(schedules, name)(ours, **options)
    reference = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    run_both(ours, theirs, schedule, reference, 65)


@settings(max_examples=100)
@given(st.sampled_from(["SGD", "Adam", "RMSprop"]), st.integers(1, 2), one_cycles())
def test_one_cycle(kind, groups, options):
    ours, theirs = make_pair([0.1] * groups, kind)
    schedule = schedules.OneCycleLR(ours, **options)
    reference = torch.optim.lr_scheduler.OneCycleLR(theirs, **options)
    run_both(ours, theirs, schedule, reference, options["total_steps"])


@settings(max_examples=100)
@given(
    lrs,
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.floats(0.1, 0.9),
            "patience": st.integers(0, 3),
            "threshold": st.sampled_from([0.0, 1e-4, 0.1]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0.0, 1e-3]),
            "eps": st.sampled_from([1e-8, 1e-2]),
        }
    ),
    seeds,
)
def test_reduce_on_plateau(rates, options, seed):
    ours, theirs = make_pair(rates)
    schedule = schedules.ReduceLROnPlateau(ours, **options)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    metrics = np.random.default_rng(seed).normal(0, 1, 40).round(1)
    metrics[::9] = math.nan
    run_both(ours, theirs, schedule, reference, 40, metrics.tolist())


@settings(max_examples=50)
@given(lrs, simple_configs, st.integers(2, 10))
def test_linear_warmup_is_linear_lr_and_then_the_other(rates, config, warmup):
    name, options = config
    ours, theirs = make_pair(rates)
    after = getattr(schedules, name)(ours, **options, steps_by="batch")
    schedule = schedules.LinearWarmup(ours, warmup, after=after)
    torch_schedules = torch.optim.lr_scheduler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = torch_schedules.SequentialLR(
            theirs,
            [
                torch_schedules.LinearLR(theirs, start_factor=1 / warmup, total_iters=warmup - 1),
                getattr(torch_schedules, name)(theirs, **options),
            ],
            milestones=[warmup],
        )
    run_both(ours, theirs, schedule, reference, 50)
