"""LeNet-5: the counts by hand, the shapes of the paper, its options, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.errors import ConfigError, ShapeError
from minicnn.layers import AvgPool2d, MaxPool2d, ReLU, Tanh
from minicnn.models import lenet5
from tests.models.whole_network import check_whole_network, kinds

# Weights and biases of conv1, conv2, fc1, fc2, fc3.
COUNTS = {
    "conv1": 6 * 1 * 5 * 5 + 6,
    "conv2": 16 * 6 * 5 * 5 + 16,
    "fc1": 400 * 120 + 120,
    "fc2": 120 * 84 + 84,
    "fc3": 84 * 10 + 10,
}


def test_every_layer_has_the_parameters_counted_by_hand(rng: np.random.Generator) -> None:
    model = lenet5(rng=rng)
    for name, count in COUNTS.items():
        assert sum(p.size for p in getattr(model, name).parameters()) == count
    assert sum(p.size for p in model.parameters()) == sum(COUNTS.values()) == 61_706


def test_the_state_dict_names_layers_in_the_order_of_the_network(rng: np.random.Generator) -> None:
    state = lenet5(rng=rng).state_dict()
    assert list(state) == [f"{layer}.{part}" for layer in COUNTS for part in ("weight", "bias")]
    assert [state[f"{layer}.weight"].shape for layer in COUNTS] == [
        (6, 1, 5, 5),
        (16, 6, 5, 5),
        (120, 400),
        (84, 120),
        (10, 84),
    ]


@pytest.mark.parametrize("image_size", [28, 32])
def test_the_layers_have_the_sizes_of_the_paper(rng: np.random.Generator, image_size: int) -> None:
    """Padding 2 makes of a 28x28 image what the paper makes of 32x32."""
    rows = lenet5(image_size=image_size, rng=rng).summary((1, image_size, image_size)).rows
    shapes = {row.name: row.output_shape[1:] for row in rows}
    assert shapes["conv1"] == (6, 28, 28)
    assert shapes["pool1"] == (6, 14, 14)
    assert shapes["conv2"] == (16, 10, 10)
    assert shapes["pool2"] == (16, 5, 5)
    assert shapes["fc3"] == (10,)


def test_multiply_adds_counted_by_hand(rng: np.random.Generator) -> None:
    """Every output of a convolution costs one product per weight of its filter."""
    convolutions = 6 * 28 * 28 * 25 + 16 * 10 * 10 * 6 * 25
    dense = 400 * 120 + 120 * 84 + 84 * 10
    assert lenet5(rng=rng).summary((1, 28, 28)).multiply_adds == convolutions + dense


@pytest.mark.parametrize(("batch", "num_classes", "in_channels"), [(1, 10, 1), (3, 2, 3), (0, 10, 1)])
def test_it_gives_one_score_a_class(
    rng: np.random.Generator, batch: int, num_classes: int, in_channels: int
) -> None:
    model = lenet5(num_classes, in_channels, rng=rng)
    y = model(rng.standard_normal((batch, in_channels, 28, 28), dtype=np.float32))
    assert y.shape == (batch, num_classes)
    assert y.dtype == np.float32


def test_by_default_it_uses_relu_and_max_pooling(rng: np.random.Generator) -> None:
    model = lenet5(rng=rng)
    assert kinds(model, ReLU) == ["act1", "act2", "act3", "act4"]
    assert kinds(model, MaxPool2d) == ["pool1", "pool2"]


def test_the_options_give_the_network_of_1998(rng: np.random.Generator) -> None:
    model = lenet5(activation="tanh", pooling="average", image_size=32, rng=rng)
    assert kinds(model, Tanh) == ["act1", "act2", "act3", "act4"]
    assert kinds(model, AvgPool2d) == ["pool1", "pool2"]
    assert kinds(model, ReLU) == kinds(model, MaxPool2d) == []
    assert model(rng.standard_normal((2, 1, 32, 32), dtype=np.float32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, 'activation must be "relu" or "tanh", got \'swish\''),
        ({"pooling": "min"}, 'pooling must be "max" or "average", got \'min\''),
        ({"image_size": 30}, "image_size must be 28 or 32, got 30"),
    ],
)
def test_an_unknown_option_is_answered_with_the_known_ones(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"lenet5: {message}"):
        lenet5(**options)  # type: ignore[arg-type]


def test_an_image_of_another_size_is_refused_with_the_sizes(rng: np.random.Generator) -> None:
    with pytest.raises(ShapeError, match="400"):
        lenet5(rng=rng)(rng.standard_normal((2, 1, 32, 32), dtype=np.float32))


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "tanh", "pooling": "average", "image_size": 32}],
    ids=["today", "1998"],
)
def test_the_whole_gradient_agrees_with_central_differences(
    rng: np.random.Generator, options: dict[str, object]
) -> None:
    size = options.get("image_size", 28)
    check_whole_network(lenet5(rng=rng, **options), (2, 1, size, size), rng)  # type: ignore[arg-type]
