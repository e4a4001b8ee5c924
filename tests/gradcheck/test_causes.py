"""Causes hold beyond the configurations that were thought of: the right one, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.gradcheck import Verdict, check_function
from tests.mutants import conv, pool

KNOWN = [mutant for mutant in conv.MUTANTS if mutant.named_by == "cause"]


@st.composite
def conv_settings(draw: Any) -> conv.Setting:
    groups = draw(st.sampled_from([1, 1, 2]))
    kernel = draw(st.integers(1, 3))
    return conv.Setting(
        samples=draw(st.integers(3, 4)),
        inputs=2 * groups if groups > 1 else draw(st.integers(1, 3)),
        outputs=2 * groups,
        size=draw(st.integers(5, 6)),
        kernel=kernel,
        stride=draw(st.integers(1, 3)),
        padding=draw(st.integers(0, kernel)),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
    )


@given(conv_settings(), st.sampled_from(KNOWN), st.integers(0, 1000))
@settings(max_examples=6)
def test_a_wrong_convolution_gets_the_right_cause_or_none(
    setting: conv.Setting, known: Any, seed: int
) -> None:
    mutant = conv.conv_mutant(known.name, setting, known.words)
    mutant.check(seed, broken=False).assert_ok()
    report = mutant.check(seed, broken=True)
    if report.verdict is Verdict.FAIL:  # at some settings a mistake makes no difference
        assert mutant.said(report) or not report.causes, report


@given(
    st.sampled_from(["max", "avg"]), st.integers(2, 3), st.integers(1, 3), st.booleans(), st.integers(0, 1000)
)
@settings(max_examples=15)
def test_overlap_is_named_whatever_the_pooling(
    op: str, kernel: int, stride: int, ceil: bool, seed: int
) -> None:
    setting = pool.Setting(op, size=6, kernel=kernel, stride=stride, ceil=ceil)
    mutant = pool.pool_mutant("overlap", "overlap assigned", setting, ("assigned",))
    report = mutant.check(seed, broken=True)
    assert report.ok or mutant.said(report), report


def test_the_operation_is_recognised_by_what_it_computes_not_by_its_name() -> None:
    """A convolution written as a matrix product over patches, under another name."""
    rng = np.random.default_rng(0)

    def mystery(x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, Any]:
        patches = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
        return np.einsum("ncpqrs,ocrs->nopq", patches, weight), (x, patches, weight)

    def backward(dy: np.ndarray, cache: Any) -> tuple[np.ndarray, np.ndarray]:
        x, patches, weight = cache
        dx = np.zeros_like(x)
        for p, q in np.ndindex(*dy.shape[2:]):  # p and q where 2p and 2q belong
            dx[:, :, p : p + 3, q : q + 3] += np.einsum("no,ocrs->ncrs", dy[:, :, p, q], weight)
        return dx, np.einsum("nopq,ncpqrs->ocrs", dy, patches)

    report = check_function(
        mystery, backward, rng.standard_normal((2, 2, 7, 7)), rng.standard_normal((3, 2, 3, 3))
    )
    assert "the stride (2, 2) is ignored" in str(report.cause)


def test_nothing_is_said_about_an_operation_that_is_not_known() -> None:
    report = check_function(
        lambda x: (np.sin(x) * np.exp(x), x),
        lambda dy, x: dy * np.exp(x) * (np.cos(x) + 0.99 * np.sin(x)),
        np.random.default_rng(0).standard_normal((3, 4)),
    )
    assert report.verdict is Verdict.FAIL
    assert report.cause is None
