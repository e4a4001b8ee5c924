"""What the tests of every architecture ask."""

from __future__ import annotations

import numpy as np

from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss

STEPS = (1e-5, 1e-6, 1e-7)


def kinds(model: Layer, kind: type[Layer]) -> list[str]:
    """The names of the layers of one kind."""
    return [name for name, layer in model.leaves() if type(layer) is kind]


def check_whole_network(
    model: Layer, x_shape: tuple[int, ...], rng: np.random.Generator, entries: int = 3
) -> None:
    """Loss gradients of a few entries of every parameter, and of the input, against central differences.

    In evaluation mode, where the loss is a function of the parameters alone, in float64.
    """
    model.astype(np.float64).eval()
    x = rng.standard_normal(x_shape)
    loss = CrossEntropyLoss()
    labels = np.arange(x_shape[0])

    def value() -> float:
        return float(loss.forward(model.forward(x), labels))

    def active_set() -> list[np.ndarray]:
        return [part.copy() for part in model.signature()]

    def slope(array: np.ndarray, place: tuple[np.intp, ...]) -> float:
        """The central difference with the first step that crosses no kink."""
        before = array[place]
        for step in STEPS:
            found = []
            for moved in (before + step, before - step):
                array[place] = moved
                found.append((value(), active_set()))
            array[place] = before
            if all(np.array_equal(*parts) for parts in zip(found[0][1], found[1][1])):
                return (found[0][0] - found[1][0]) / (2 * step)
        raise AssertionError("every step crosses a kink of ReLU or max pooling")

    value()
    dx = model.backward(loss.backward())
    checked = [(name, p.value, p.grad) for name, p in model.named_parameters()] + [("x", x, dx)]
    for name, array, gradient in checked:
        assert gradient.shape == array.shape
        largest = np.abs(gradient).max()
        assert largest > 0, f"no gradient reaches {name}"
        for index in [int(np.abs(gradient).argmax()), *rng.integers(0, array.size, entries - 1)]:
            place = np.unravel_index(index, array.shape)
            assert abs(gradient[place] - slope(array, place)) < 1e-5 * max(largest, 1e-2), f"{name}{place}"
