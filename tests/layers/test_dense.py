"""Dense concatenation in one buffer: what is written where, and that nothing is written twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.layers import Conv2d, DenseConcat, Identity, Layer, Sequential, Tanh
from minicnn.layers.dense import Features
from tests.support.arrays import AWKWARD, assert_close
from tests.support.strategies import seeds


class Spy(Sequential):
    """A layer that remembers the very array that it was given."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.seen = [*getattr(self, "seen", []), x]
        return super().forward(x)


def dense(widths: list[int], rng: np.random.Generator, channels: int = 3) -> DenseConcat:
    layers: list[Layer] = []
    for width in widths:
        layers.append(Spy(Conv2d(channels, width, 3, padding=1, rng=rng), Tanh()))
        channels += width
    return DenseConcat(*layers).astype(np.float64)


@given(widths=st.lists(st.integers(1, 4), max_size=4), passes=st.integers(1, 3), seed=seeds)
def test_it_is_concatenation_layer_after_layer_forward_and_backward(
    widths: list[int], passes: int, seed: int
) -> None:
    """Against the formula with np.concatenate, in the first pass and in later ones."""
    rng = np.random.default_rng(seed)
    block = dense(widths, rng)
    for _ in range(passes):
        x = rng.standard_normal((2, 3, 4, 5))
        dy = rng.standard_normal((2, 3 + sum(widths), 4, 5))
        expected_y, expected_dx = by_concatenation(list(block), x, dy)
        np.testing.assert_array_equal(block(x), expected_y)
        assert_close(block.backward(dy), expected_dx, 1e-13)


def by_concatenation(layers: list[Layer], x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y and dx, the inputs of every layer joined anew."""
    inputs = [x]
    for layer in layers:
        inputs.append(np.concatenate([inputs[-1], layer(inputs[-1])], axis=1))
    y = inputs.pop()
    for layer, seen in zip(reversed(layers), reversed(inputs)):
        width = seen.shape[1]
        dy = dy[:, :width] + layer.backward(dy[:, width:])
    return y, dy


def test_layers_read_views_of_one_buffer(rng: np.random.Generator) -> None:
    block = dense([2, 2, 2], rng)
    x = rng.standard_normal((2, 3, 4, 4))
    block(x)
    y = block(x)  # from the second pass on the size is known
    buffers = [layer.seen[-1] for layer in block]
    assert all(np.shares_memory(view, y) for view in buffers)
    assert not np.shares_memory(x, y)


def test_a_filled_slice_is_never_written_again(rng: np.random.Generator) -> None:
    """What a layer was given stays as it was, through later layers, backward and the next pass."""
    block = dense([2, 3, 2], rng)
    for _ in range(3):
        y = block(rng.standard_normal((2, 3, 4, 4)))
        given = [(view, view.copy()) for layer in block for view in layer.seen]
        block.backward(rng.standard_normal(y.shape))
        block(rng.standard_normal((2, 3, 4, 4)))
        for view, copy in given:
            np.testing.assert_array_equal(view, copy)


def test_a_layer_that_hands_on_its_input(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 4))
    block = DenseConcat(Identity(), Identity())  # 3 channels, then 6, then 12
    np.testing.assert_array_equal(block(x), np.concatenate([x, x, x, x], axis=1))
    dy = rng.standard_normal((2, 12, 4, 4))
    expected = dy[:, :3] + dy[:, 3:6] + dy[:, 6:9] + dy[:, 9:]
    assert_close(block.backward(dy), expected, 1e-14)


@pytest.mark.parametrize("kind", AWKWARD)
def test_the_buffer_is_stored_in_the_order_of_the_input(kind: str, rng: np.random.Generator) -> None:
    x = AWKWARD[kind](rng.standard_normal((2, 3, 4, 5)))
    features = Features(x, room=5)
    np.testing.assert_array_equal(features.filled, x)
    features.append(x[:, :2])
    np.testing.assert_array_equal(features.filled, np.concatenate([x, x[:, :2]], axis=1))
    if kind == "channels_last":
        assert features.filled.transpose(0, 2, 3, 1).flags.c_contiguous


def test_with_too_little_room_it_moves(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 4))
    features = Features(x, room=4)
    before = features.filled
    features.append(x)
    assert not np.shares_memory(before, features.filled)
    np.testing.assert_array_equal(before, x)
    np.testing.assert_array_equal(features.filled, np.concatenate([x, x], axis=1))


def test_the_gradient_that_arrives_is_not_written(rng: np.random.Generator) -> None:
    block = dense([2, 2], rng)
    dy = rng.standard_normal(block(rng.standard_normal((1, 3, 4, 4))).shape)
    before = dy.copy()
    block.backward(dy)
    np.testing.assert_array_equal(dy, before)
