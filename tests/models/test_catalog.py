"""Networks by name."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minicnn import models
from minicnn.errors import ConfigError
from tests.support.training import weights_digest

# Those for 224x224 are tried with a sixteenth of their channels.
OPTIONS = {
    name: {"width": 1 / 16} if entry.input_shape[1] > 32 else {}
    for name, entry in models.ARCHITECTURES.items()
}


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_every_network_takes_the_input_that_the_catalogue_states(name: str) -> None:
    """In evaluation, where all give logits. An empty batch has shapes too."""
    entry = models.architecture(name)
    model = models.build(name, rng=np.random.default_rng(0), num_classes=7, **OPTIONS[name]).eval()
    batch = 0 if entry.input_shape[1] > 32 else 2
    assert model(np.zeros((batch, *entry.input_shape), np.float32)).shape == (batch, 7)
    assert entry.description


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_every_network_is_offered_under_its_own_name(name: str) -> None:
    assert models.architecture(name).builder is getattr(models, name)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_the_same_generator_gives_the_same_weights(name: str) -> None:
    first, second, other = (
        models.build(name, rng=np.random.default_rng(seed), **OPTIONS[name]) for seed in (5, 5, 6)
    )
    assert weights_digest(first) == weights_digest(second)
    assert weights_digest(first) != weights_digest(other)


@pytest.mark.parametrize("name", ["convnet3", "alexnet", "vgg11", "googlenet"])
def test_the_same_generator_gives_the_same_dropout(name: str) -> None:
    """What is drawn in training comes from it too."""
    x = np.ones(
        (2, 3, 64, 64) if models.architecture(name).input_shape[1] > 32 else (2, 3, 32, 32), np.float32
    )
    first, second = (models.build(name, rng=np.random.default_rng(5), **OPTIONS[name])(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_without_a_generator_the_weights_are_fresh(name: str) -> None:
    first, second = (models.build(name, **OPTIONS[name]) for _ in range(2))
    assert weights_digest(first) != weights_digest(second)


def test_building_leaves_numpys_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    models.build("lenet5")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_options_reach_the_builder() -> None:
    model = models.build("lenet5", num_classes=3, image_size=32)
    assert model(np.zeros((1, 1, 32, 32), np.float32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("lenet", "lenet5"), ("LeNet5", "lenet5"), ("lenet-5", "lenet5"), ("convnet", "convnet3")],
)
def test_an_unknown_name_is_answered_with_the_nearest(given: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"unknown model {given!r}: did you mean {expected!r}?")):
        models.build(given)


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(ConfigError) as raised:
        models.build("zzz")
    assert "did you mean" not in str(raised.value)
    for name in models.ARCHITECTURES:
        assert name in str(raised.value)


def test_an_unknown_option_is_named_and_says_where_to_look() -> None:
    with pytest.raises(ConfigError, match=r"lenet5: .*'classes'.*see help\(minicnn\.models\.lenet5\)"):
        models.build("lenet5", classes=3)
