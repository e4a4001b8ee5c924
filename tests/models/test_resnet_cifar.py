"""Section 4.2's networks: the counts by hand, the twins, the shortcut without parameters."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import models
from minicnn.errors import ConfigError
from minicnn.layers.state import named_state
from minicnn.models.measure import size
from minicnn.models.resnet_cifar import SubsamplingShortcut, resnet_cifar


def count_by_hand(n: int) -> int:
    """Convolutions without bias, two numbers of batch norm a channel, and the classifier."""
    convolutions = 3 * 16 * 9 + 2 * n * 16 * 16 * 9
    convolutions += 16 * 32 * 9 + (2 * n - 1) * 32 * 32 * 9 + 32 * 64 * 9 + (2 * n - 1) * 64 * 64 * 9
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))
    return convolutions + norms + 64 * 10 + 10


@pytest.mark.parametrize(("name", "n"), [("resnet20", 3), ("resnet56", 9), ("plain20", 3), ("plain56", 9)])
def test_parameters_counted_by_hand(name: str, n: int) -> None:
    assert size(name).parameters == count_by_hand(n)


@pytest.mark.parametrize("depth", ["20", "56"])
def test_the_twins_have_the_same_names_and_the_same_weights(depth: str) -> None:
    """Drawn from the same generator: the experiment compares shortcuts and nothing else."""
    plain, residual = (
        models.build(kind + depth, rng=np.random.default_rng(5)) for kind in ("plain", "resnet")
    )
    mine, theirs = dict(named_state(plain)), dict(named_state(residual))
    assert list(mine) == list(theirs)
    for name, holder in mine.items():
        np.testing.assert_array_equal(holder.value, theirs[name].value)


@pytest.mark.parametrize("depth", [2, 21, 57])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"depth must be 6n \+ 2, such as 20, 32, 44, 56 or 110, got {depth}"
    ):
        resnet_cifar(depth)


def test_the_shortcut_takes_every_second_pixel_and_adds_empty_channels(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 5, 4))
    y = SubsamplingShortcut(5, 2)(x)
    assert y.shape == (2, 5, 3, 2)
    np.testing.assert_array_equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any()


def test_its_backward_is_its_adjoint(rng: np.random.Generator) -> None:
    """<dy, f(x)> = <backward(dy), x>, exactly as the map is linear."""
    layer, x = SubsamplingShortcut(5, 2), rng.standard_normal((2, 3, 5, 4))
    dy = rng.standard_normal(layer(x).shape)
    forward = float(np.sum(dy * layer(x)))
    assert float(np.sum(layer.backward(dy) * x)) == pytest.approx(forward, rel=1e-12)
