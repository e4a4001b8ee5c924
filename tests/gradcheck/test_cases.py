"""No false alarm: every layer in every standard configuration, containers, losses and pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minicnn.functional as F
from minicnn import layers
from minicnn.errors import ConfigError
from minicnn.gradcheck import Case, cases, check_function
from minicnn.gradcheck.cases import STANDARD

OURS = [case for name in STANDARD for case in cases(getattr(layers, name))[1]]


def residual(rng: np.random.Generator) -> layers.Layer:
    body = layers.Sequential(
        layers.Conv2d(3, 3, 3, padding=1, rng=rng),
        layers.BatchNorm2d(3),
        layers.ReLU(),
        layers.Dropout(0.3, rng=rng),
    )
    return layers.Residual(body, layers.Conv2d(3, 3, 1, rng=rng))


def identity_residual(rng: np.random.Generator) -> layers.Layer:
    return layers.Residual(layers.Sequential(layers.Conv2d(3, 3, 3, padding=1, rng=rng), layers.Tanh()))


def inception(rng: np.random.Generator) -> layers.Layer:
    return layers.Concat(
        layers.Conv2d(3, 2, 1, rng=rng),
        layers.Sequential(layers.Conv2d(3, 2, 3, padding=1, rng=rng), layers.ReLU()),
        layers.Sequential(layers.MaxPool2d(3, stride=1, padding=1), layers.Conv2d(3, 1, 1, rng=rng)),
    )


def dense_block(rng: np.random.Generator) -> layers.Layer:
    return layers.DenseConcat(
        layers.Conv2d(3, 2, 3, padding=1, rng=rng),
        layers.Sequential(layers.BatchNorm2d(5), layers.Conv2d(5, 2, 1, rng=rng)),
    )


SHAPES: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({}, (3, 3, 5, 4)),
    ({}, (2, 3, 6, 6)),
    ({}, (1, 3, 4, 7)),
]
CONTAINERS = [
    case
    for make in (residual, identity_residual, inception, dense_block)
    for values in SHAPES
    for case in cases(make.__name__, make, [values], modes=("train", "eval"))[1]
]
ALL = OURS + CONTAINERS

Draw = Callable[[np.random.Generator], tuple[Any, ...]]


def images(*shape: int) -> Draw:
    return lambda rng: (rng.standard_normal(shape),)


def scores(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.standard_normal((6, 4)), rng.integers(0, 4, 6)


PAIRS: list[tuple[str, Draw, dict[str, Any]]] = [
    ("relu", images(3, 7), {}),
    ("gelu", images(3, 7), {}),
    ("softmax", images(3, 7), {}),
    ("log_softmax", images(3, 7), {}),
    ("local_response_norm", images(2, 5, 3, 3), {"size": 3, "alpha": 0.5}),
    ("dropout", images(3, 7), {"p": 0.4, "seed": 5, "offset": 2}),
    ("max_pool2d", images(2, 2, 7, 7), {"kernel_size": 3, "stride": 2}),
    ("avg_pool2d", images(2, 2, 7, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("adaptive_avg_pool2d", images(2, 2, 7, 5), {"output_size": 3}),
    ("cross_entropy", scores, {}),
    ("cross_entropy", scores, {"label_smoothing": 0.1}),
    ("cross_entropy", scores, {"reduction": "sum"}),
    ("cross_entropy", scores, {"reduction": "none"}),
    ("focal_loss", scores, {}),
    ("focal_loss", scores, {"gamma": 0.5, "reduction": "none"}),
    ("soft_cross_entropy", lambda rng: (rng.standard_normal((6, 4)), rng.dirichlet(np.ones(4), 6)), {}),
    ("mse", lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((4, 3))), {}),
    ("linear", lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((2, 3)), None), {}),
    (
        "conv2d",
        lambda rng: (rng.standard_normal((2, 2, 5, 5)), rng.standard_normal((3, 2, 3, 3)), None),
        {"padding": 1},
    ),
    (
        "batch_norm2d",
        lambda rng: (rng.standard_normal((3, 2, 3, 3)), rng.standard_normal(2), rng.standard_normal(2)),
        {},
    ),
    # Far from zero batch norm cancels six digits of sixteen: the noise must be seen.
    (
        "batch_norm2d",
        lambda rng: (1e6 + rng.standard_normal((3, 2, 3, 3)), rng.standard_normal(2), rng.standard_normal(2)),
        {},
    ),
]


@pytest.mark.parametrize("case", ALL[::3], ids=str)
def test_a_correct_configuration_passes(case: Case) -> None:
    case.check().assert_ok()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", ALL, ids=str)
def test_every_correct_configuration_passes_at_every_seed(case: Case, seed: int) -> None:
    report = case.check(rng=seed).assert_ok()
    assert all(array.worst is None or array.worst.ratio < 0.5 for array in report.arrays), report


def test_there_are_at_least_300_configurations() -> None:
    assert len(ALL) + len(PAIRS) >= 300
    assert len({str(case) for case in ALL}) == len(ALL)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "draw", "options"), PAIRS)
def test_a_correct_pair_passes(name: str, draw: Draw, options: dict[str, Any], seed: int) -> None:
    arrays = draw(np.random.default_rng(seed))
    forward, backward = getattr(F, f"{name}_forward"), getattr(F, f"{name}_backward")
    check_function(forward, backward, *arrays, rng=seed, **options).assert_ok()


def test_a_student_class_of_a_known_name_is_swept_too() -> None:
    class ReLU:
        def forward(self, x: np.ndarray) -> np.ndarray:
            self.x = x
            return np.maximum(x, 0)

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy * (self.x > 0)

    _, swept, _, _ = cases(ReLU)
    assert len(swept) == len(cases(layers.ReLU)[1])
    for case in swept[:4]:
        case.check().assert_ok()


def test_an_unknown_class_needs_configurations() -> None:
    class Swish:
        pass

    with pytest.raises(ConfigError, match="pass configurations="):
        cases(Swish)


def test_cases_name_themselves() -> None:
    case = cases(layers.MaxPool2d, dtypes=("float32",))[1][0]
    assert str(case) == "MaxPool2d(kernel_size=2)-2x3x6x6-float32-train"
