"""The published architectures: layouts and figures from PyTorch, options, initial weights, recomputation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.agreement_ours import ours_gradients, ours_logits
from benchmarks.seeded import digest, projections
from minicnn import models
from minicnn.errors import ConfigError
from minicnn.layers import BatchNorm2d, Checkpoint, Conv2d, Layer, Linear
from minicnn.layers.state import named_state
from minicnn.losses import CrossEntropyLoss, WithAuxiliary
from minicnn.models.measure import size, weightless

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "architectures.json").read_text())
SMALL = {"width": 1 / 16, "num_classes": 4}
FAMILIES = ["alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet50", "densenet121", "resnet20"]


def small(name: str, seed: int = 0, **options: Any) -> Layer:
    """In float64, so that no kernel has to be compiled for sizes that nobody trains."""
    return models.build(name, rng=np.random.default_rng(seed), **{**SMALL, **options}).astype(np.float64)


def images(side: int, batch: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, side, side))


# ---- as published


@pytest.mark.parametrize("name", REFERENCE["layouts"])
def test_names_shapes_and_order_of_the_state_dict_are_torchvisions(name: str) -> None:
    expected = REFERENCE["layouts"][name]
    shapes = [(key, holder.value.shape) for key, holder in named_state(weightless(name))]
    assert len(shapes) == expected["entries"]
    assert digest(shapes) == expected["sha256"]
    assert size(name).parameters == expected["parameters"]


def test_every_published_network_is_offered() -> None:
    assert set(REFERENCE["layouts"]) <= set(models.ARCHITECTURES)


@pytest.mark.parametrize("name", REFERENCE["layouts"])
def test_recomputation_and_options_change_no_name(name: str) -> None:
    plain, kept = (weightless(name, checkpoint_blocks=flag, width=1 / 16) for flag in (False, True))
    assert [key for key, _ in named_state(kept)] == [key for key, _ in named_state(plain)]


@pytest.mark.parametrize("name", REFERENCE["small"])
def test_logits_are_those_of_pytorch(name: str) -> None:
    """Literal figures: float64, seeded weights, randomised statistics, an eighth of the channels."""
    logits = ours_logits(name, np.float64, **REFERENCE["settings"])
    expected = np.array(REFERENCE["small"][name]["logits"])
    assert np.abs(logits - expected).max() <= 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("name", REFERENCE["small"])
def test_training_gradients_are_those_of_pytorch(name: str) -> None:
    """One number for every parameter's gradient, which any wrong entry would change."""
    gradients = ours_gradients(name, np.float64, **REFERENCE["settings"])
    found, expected = projections(gradients), REFERENCE["small"][name]["gradients"]
    assert list(found) == list(expected)
    largest = max(abs(value) for value in expected.values())
    for key, gradient in gradients.items():
        # A bias in front of batch norm has the gradient zero, and leaves nothing but rounding to compare.
        scale = np.abs(gradient).max()
        scale = scale if scale > 1e-12 * largest else largest
        assert abs(found[key] - expected[key]) <= 1e-8 * scale, key


def test_multiply_adds_of_the_published_networks() -> None:
    """The round figures of the literature: VGG-16 15.5, ResNet-50 4.1, DenseNet-121 2.8 thousand millions."""
    assert round(size("vgg16").multiply_adds / 1e9, 1) == 15.5
    assert round(size("resnet50").multiply_adds / 1e9, 1) == 4.1
    assert round(size("densenet121").multiply_adds / 1e9, 1) == 2.8
    assert round(size("alexnet").multiply_adds / 1e9, 2) == 0.71


def test_the_size_without_weights_is_that_of_the_summary() -> None:
    summary = models.build("resnet20").astype(np.float64).summary((3, 32, 32))
    assert size("resnet20")[1:] == (summary.parameters, summary.multiply_adds)
    assert size("resnet20", in_channels=1).input_shape == (1, 32, 32)


# ---- options


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_channels_and_classes(name: str, in_channels: int) -> None:
    model = small(name, in_channels=in_channels, num_classes=7).eval()
    side = 64 if name in ("alexnet", "googlenet") else 32
    assert model(images(side)[:, :in_channels]).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "inside", "side"),
    [("resnet18", "layer1", 32), ("densenet121", "features.denseblock1", 32), ("vgg11", "features", 1)],
)
def test_small_images_keep_their_size_longer(name: str, inside: str, side: int) -> None:
    """At 32x32 the stem does not shrink them; VGG ends at 1x1 and need not blow it up again to 7x7."""
    model = small(name, small_images=True)
    heights = {
        row.name: row.output_shape[2] for row in model.summary((3, 32, 32)).rows if len(row.output_shape) == 4
    }
    last = [height for key, height in heights.items() if key.startswith(inside)][-1]
    assert last == side
    assert model.eval()(images(32)).shape == (2, 4)
    usual = {key for key, _ in named_state(small(name))}
    assert {key for key, _ in named_state(model)} == usual, "the names are the same"


def test_the_small_vgg_has_small_hidden_layers() -> None:
    parameters = sum(p.size for p in weightless("vgg16", small_images=True, num_classes=10).parameters())
    assert parameters == 14_714_688 + 2 * (512 * 512 + 512) + 5130


@pytest.mark.parametrize("width", [0, -1.0, float("nan")])
def test_an_impossible_width_is_refused(width: float) -> None:
    with pytest.raises(ConfigError, match="width is a factor on the number of channels, greater than 0, got"):
        models.resnet18(width=width)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"resnet18: .*'groups'.*see help\(minicnn\.models\.resnet18\)"):
        models.build("resnet18", groups=2)


# ---- initial weights, as torchvision draws them


def standard_deviations(model: Layer, kind: type[Layer]) -> dict[tuple[int, ...], float]:
    """Of all weights of one shape together."""
    by_shape: dict[tuple[int, ...], list[np.ndarray]] = {}
    for _, layer in model.leaves():
        if type(layer) is kind:
            by_shape.setdefault(layer.weight.shape, []).append(layer.weight.value)
    return {shape: float(np.std(values)) for shape, values in by_shape.items() if np.size(values) > 3000}


@pytest.mark.parametrize(
    ("name", "conv", "linear"),
    [
        ("resnet18", lambda o, c, r, s: np.sqrt(2 / (o * r * s)), None),
        ("resnet20", lambda o, c, r, s: np.sqrt(2 / (o * r * s)), None),
        ("vgg11", lambda o, c, r, s: np.sqrt(2 / (o * r * s)), 0.01),
        ("densenet121", lambda o, c, r, s: np.sqrt(2 / (c * r * s)), None),
        ("googlenet", lambda o, c, r, s: 0.01, 0.01),
        ("alexnet", lambda o, c, r, s: 1 / np.sqrt(3 * c * r * s), None),
    ],
)
def test_weights_start_with_torchvisions_deviations(name: str, conv: Any, linear: float | None) -> None:
    model = small(name, width=1 / 2 if name == "resnet20" else 1 / 4)
    found = standard_deviations(model, Conv2d)
    assert found
    for shape, deviation in found.items():
        assert deviation == pytest.approx(conv(*shape), rel=0.06), shape
    for shape, deviation in standard_deviations(model, Linear).items():
        expected = 1 / np.sqrt(3 * shape[1]) if linear is None else linear
        assert deviation == pytest.approx(expected, rel=0.06), shape


@pytest.mark.parametrize(
    ("name", "zero"), [("vgg11", True), ("densenet121", True), ("resnet18", False), ("alexnet", False)]
)
def test_biases_start_at_zero_where_torchvisions_do(name: str, zero: bool) -> None:
    model = small(name)
    biases = [
        layer.bias.value for _, layer in model.leaves() if type(layer) in (Conv2d, Linear) and layer.bias
    ]
    assert biases
    assert all((bias == 0).all() == zero for bias in biases)


# ---- recomputation


def one_step(model: Layer, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Gradients and buffers after two steps of training."""
    loss = WithAuxiliary(CrossEntropyLoss())
    for _ in range(2):
        loss(model(x), np.arange(len(x)) % 4)
        model.backward(loss.backward(), need_dx=False)  # type: ignore[call-arg]
    return (
        {name: parameter.grad for name, parameter in model.named_parameters()},
        {name: buffer.value for name, buffer in model.named_buffers()},
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_recomputing_blocks_changes_no_bit(name: str) -> None:
    """Gradients, running statistics and dropout's masks; the blocks are really wrapped."""
    plain, kept = (small(name, checkpoint_blocks=flag) for flag in (False, True))
    assert any(isinstance(layer, Checkpoint) for _, layer in kept.named_layers())
    x = images(64 if name in ("alexnet", "googlenet") else 32, batch=4)
    for mine, theirs in zip(one_step(kept, x), one_step(plain, x)):
        assert list(mine) == list(theirs)
        for key in theirs:
            np.testing.assert_array_equal(mine[key], theirs[key], key)
    assert all(
        int(layer.num_batches_tracked.value) == 2
        for _, layer in kept.named_layers()
        if isinstance(layer, BatchNorm2d)
    )
