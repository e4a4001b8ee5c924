"""Every planted mistake is found and named; its correct twin passes at the same seeds.

The default run takes one seed of each, the slow one twenty.
"""

from __future__ import annotations

import pytest

from minicnn.gradcheck import Verdict
from tests.mutants.all import NAMED, UNNAMED
from tests.mutants.mutant import Mutant
from tests.mutants.optimizers import MUTANTS as OPTIMIZERS
from tests.mutants.optimizers import OptimizerMutant

SEEDS = range(20)


@pytest.mark.parametrize("mutant", NAMED, ids=str)
def test_a_mistake_is_found_and_named(mutant: Mutant) -> None:
    _found_and_named(mutant, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", NAMED, ids=str)
def test_a_mistake_is_found_and_named_at_every_seed(mutant: Mutant) -> None:
    for seed in SEEDS:
        _found_and_named(mutant, seed)


@pytest.mark.parametrize("mutant", UNNAMED, ids=str)
def test_a_mistake_without_a_name_is_found_and_no_cause_made_up(mutant: Mutant) -> None:
    _found_and_unnamed(mutant, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", UNNAMED, ids=str)
def test_no_cause_is_made_up_at_any_seed(mutant: Mutant) -> None:
    for seed in SEEDS:
        _found_and_unnamed(mutant, seed)


@pytest.mark.parametrize("mutant", OPTIMIZERS, ids=str)
def test_a_wrong_optimizer_is_found_and_named_at_every_seed(mutant: OptimizerMutant) -> None:
    for seed in SEEDS:
        report = mutant.check(seed, broken=True)
        assert report.verdict is Verdict.FAIL, report
        assert len(report.causes) == 1, report
        assert mutant.words in report.causes[0]
        mutant.check(seed, broken=False).assert_ok()


def test_there_are_enough_of_them() -> None:
    """The list of mistakes worth catching has 40 entries, some planted in several operations."""
    assert len(NAMED) >= 45
    assert len(UNNAMED) >= 10
    assert len({mutant.name for mutant in NAMED + UNNAMED}) == len(NAMED) + len(UNNAMED)


def _found_and_named(mutant: Mutant, seed: int) -> None:
    report = mutant.check(seed, broken=True)
    assert report.verdict is Verdict.FAIL, report
    assert mutant.said(report), f"expected one of {mutant.words} in\n{report}"
    if mutant.named_by == "finding":
        assert not report.causes, f"a cause beside the finding: {report}"
    mutant.check(seed, broken=False).assert_ok()


def _found_and_unnamed(mutant: Mutant, seed: int) -> None:
    report = mutant.check(seed, broken=True)
    assert report.verdict is Verdict.FAIL, report
    assert not report.causes, f"a cause was made up: {report}"
    mutant.check(seed, broken=False).assert_ok()
