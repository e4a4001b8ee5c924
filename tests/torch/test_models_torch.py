"""The architectures against PyTorch: torchvision's where it is installed, else benchmarks/torch_models.py.

Here one or two members a family; `python -m benchmarks.agreement` compares all, at full size.
"""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from benchmarks import agreement, torch_models  # noqa: E402
from benchmarks.agreement import float32_distances, gradient_difference, logits_difference  # noqa: E402

MEMBERS = ["alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet50", "densenet121"]
LIGHT = ["googlenet", "resnet18", "resnet50", "densenet121"]


@pytest.mark.parametrize("name", torch_models.NAMES)
def test_names_shapes_and_order(name: str) -> None:
    assert agreement.names_and_shapes(name) == agreement.torch_names_and_shapes(name)


@pytest.mark.parametrize("name", LIGHT)
def test_logits_in_float64(name: str) -> None:
    assert logits_difference(name, np.float64, side=64, batch=2, num_classes=1000) <= 1e-10


@pytest.mark.parametrize("name", LIGHT)
def test_logits_in_float32_at_224(name: str) -> None:
    assert logits_difference(name, np.float32, side=224, batch=1, num_classes=1000) <= 1e-4


@pytest.mark.parametrize("name", LIGHT)
def test_training_gradients_in_float64(name: str) -> None:
    assert gradient_difference(name, side=64, batch=4, num_classes=10) <= 1e-8


@pytest.mark.parametrize("name", MEMBERS)
def test_with_a_quarter_of_the_channels_too(name: str) -> None:
    """AlexNet and VGG are all weights: so small they are quick, and as telling."""
    options = {"side": 64, "batch": 4, "num_classes": 10, "width": 1 / 4}
    assert logits_difference(name, np.float64, **options) <= 1e-10
    assert gradient_difference(name, **options) <= 1e-8


@pytest.mark.parametrize(("name", "width", "times"), [("alexnet", 1.0, 3), ("vgg11", 1 / 4, 5)])
def test_gradients_in_float32_at_224_are_about_as_exact_as_pytorchs(
    name: str, width: float, times: float
) -> None:
    """Networks without batch norm, where rounding seldom moves a value across a ReLU's corner.

    With batch norm it does so in most batches, in either framework, and a comparison needs many:
    benchmarks/results/agreement.md has them. With a quarter of VGG's channels sums are so short that what is left is
    Winograd's own rounding, 3.3 times PyTorch's.
    """
    found = float32_distances(name, range(7, 12), side=224, batch=2, num_classes=1000, width=width)
    assert np.median(found["float32_distances_224"]) <= times * np.median(
        found["torch_float32_distances_224"]
    )


def torchvision_models():
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: it does not fit this torch
        pytest.skip(f"torchvision cannot be imported: {error}")
    return models


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "googlenet", "resnet18", "resnet50", "densenet121"])
@pytest.mark.parametrize("training", [True, False])
def test_our_definitions_in_pytorch_compute_what_torchvisions_do(name: str, training: bool) -> None:
    """What stands in for torchvision in benchmarks and in the tests above."""
    theirs = agreement.torch_network(name, 10)
    assert type(theirs).__module__.startswith(torchvision_models().__name__)
    mine = torch_models.build(name, 10)
    mine.load_state_dict(theirs.state_dict())
    for module in mine.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found, expected = mine.train(training)(x), theirs.train(training)(x)
    found, expected = (y if isinstance(y, tuple) else (y,) for y in (found, expected))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
