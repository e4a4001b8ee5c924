"""minicnn's side of the comparison of architectures: seeded networks, their logits and gradients. Needs no PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.seeded import seeded_state
from minicnn.layers import Layer, inference
from minicnn.layers.state import named_state
from minicnn.losses import CrossEntropyLoss, WithAuxiliary
from minicnn.models.measure import weightless

AUXILIARY_WEIGHT = 0.3
Arrays = dict[str, np.ndarray]


def our_network(name: str, dtype: Any, num_classes: int, width: float) -> Layer:
    """Seeded, dropout off."""
    options: dict[str, Any] = {}
    if name == "alexnet" or name.startswith("vgg"):
        options = {"dropout": 0.0}
    if name == "googlenet":
        options = {"dropout": 0.0, "dropout_aux": 0.0}
    model = weightless(name, num_classes=num_classes, width=width, **options).astype(dtype)
    model.load_state_dict(seeded_state((key, holder.value.shape) for key, holder in named_state(model)))
    return model


def images(side: int, batch: int, num_classes: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, 3, side, side)), rng.integers(0, num_classes, batch)


def ours_logits(
    name: str, dtype: Any, *, side: int, batch: int, num_classes: int, width: float = 1.0
) -> np.ndarray:
    model = our_network(name, dtype, num_classes, width).eval()
    with inference():
        return model(images(side, batch, num_classes)[0].astype(dtype))


def ours_gradients(
    name: str, dtype: Any, *, side: int, batch: int, num_classes: int, width: float = 1.0, seed: int = 7
) -> Arrays:
    model = our_network(name, dtype, num_classes, width)
    x, labels = images(side, batch, num_classes, seed)
    loss = WithAuxiliary(CrossEntropyLoss(), AUXILIARY_WEIGHT)
    loss(model(x.astype(dtype)), labels)
    model.backward(loss.backward(), need_dx=False)  # type: ignore[call-arg]
    return {key: parameter.grad for key, parameter in model.named_parameters()}
