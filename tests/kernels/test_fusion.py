"""Fused layers: the same numbers, names and contracts as the layers one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from minicnn.errors import CacheError, ShapeError
from minicnn.kernels import using
from minicnn.layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    inference,
)
from minicnn.layers.fusion import FusedReLUCache


def network() -> Sequential:
    rng = np.random.default_rng(1)
    return Sequential(
        conv1=Conv2d(2, 6, 3, padding=1, rng=rng),
        act1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=Conv2d(6, 4, 3, rng=rng),
        act2=ReLU(),
        pool2=MaxPool2d(3, stride=1),
        flatten=Flatten(),
        fc1=Linear(4 * 4 * 4, 40, rng=rng),
        act3=ReLU(),
        fc2=Linear(40, 10, rng=rng),
    )


def run(model: Sequential, one_by_one: bool = False) -> list[np.ndarray]:
    """y, dx and all gradients of a pass; one by one the layers are called from outside, which fuses nothing."""
    rng = np.random.default_rng(5)
    x, dy = (
        rng.standard_normal((32, 2, 16, 16), dtype=np.float32),
        rng.standard_normal((32, 10), dtype=np.float32),
    )
    model.zero_grad()
    if one_by_one:
        for layer in model:
            x = layer(x)
        for layer in reversed(list(model)):
            dy = layer.backward(dy)
        return [x, dy, *(parameter.grad for parameter in model.parameters())]
    return [model(x), model.backward(dy), *(parameter.grad for parameter in model.parameters())]


@pytest.fixture
def model() -> Sequential:
    # 16x16 -> pool 8x8 -> conv 6x6 -> pool 3, stride 1: 4x4
    return network()


def test_the_numbers_are_those_of_the_layers_one_by_one(model: Sequential) -> None:
    for fused, separate in zip(run(model), run(copy.deepcopy(model), one_by_one=True)):
        np.testing.assert_allclose(fused, separate, rtol=1e-5, atol=1e-6)


def test_what_is_fused_and_what_is_not(model: Sequential) -> None:
    x = np.random.default_rng(0).standard_normal((32, 2, 16, 16), dtype=np.float32)
    model(x)
    assert all(isinstance(model[i].cache, FusedReLUCache) for i in (1, 4, 8))
    assert model.conv1.cache.y is None, "the pooling applies the mask: this output need not be kept"
    assert model.conv2.cache.y is not None, "a pooling with overlapping windows cannot"
    with using("reference"):
        model(x)
    assert not any(isinstance(layer.cache, FusedReLUCache) for layer in model)
    with model.watch() as records:
        model(x)
        assert not any(isinstance(layer.cache, FusedReLUCache) for layer in model)
    assert (records["act1"].y >= 0).all()
    assert (records["conv1"].y < 0).any()


def test_signatures_are_those_of_separate_layers(model: Sequential) -> None:
    twin = copy.deepcopy(model)
    run_x = np.random.default_rng(0).standard_normal((32, 2, 16, 16), dtype=np.float32)
    model(run_x)
    x = run_x
    for layer in twin:
        x = layer(x)
    for fused, separate in zip(model.signature(), twin.signature(), strict=True):
        assert (fused == separate).mean() > 0.9999  # a value on the edge may fall to either side


def test_state_dict_keeps_its_names(model: Sequential) -> None:
    run(model)
    assert list(model.state_dict())[:3] == ["conv1.weight", "conv1.bias", "conv2.weight"]


def test_a_second_backward_is_refused(model: Sequential) -> None:
    run(model)
    with pytest.raises(CacheError):
        model.backward(np.ones((32, 10), dtype=np.float32))


def test_a_subclass_is_left_alone() -> None:
    class Doubling(ReLU):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return 2 * super().forward(x)

    conv = Conv2d(2, 6, 3, rng=np.random.default_rng(0))
    x = np.random.default_rng(0).standard_normal((32, 2, 16, 16), dtype=np.float32)
    layers: list[Layer] = [conv, Doubling()]
    np.testing.assert_allclose(Sequential(*layers)(x), 2 * np.maximum(conv(x), 0), rtol=1e-6)


def test_inference_keeps_nothing(model: Sequential) -> None:
    x = np.random.default_rng(0).standard_normal((32, 2, 16, 16), dtype=np.float32)
    expected = np.array(model(x))
    for layer in model:
        layer.cache = None
    with inference():
        np.testing.assert_array_equal(model(x), expected)
    assert all(layer.cache is None for layer in model)


# ---- batch norm, shortcuts


def residual_network() -> Sequential:
    rng = np.random.default_rng(3)

    def conv(i: int, o: int, k: int, stride: int = 1) -> Conv2d:
        return Conv2d(i, o, k, stride=stride, padding=k // 2, bias=False, rng=rng)

    def body(i: int, o: int, stride: int) -> Sequential:
        return Sequential(
            conv(i, o, 3, stride), BatchNorm2d(o), ReLU(), conv(o, o, 3), BatchNorm2d(o)
        )  # fmt: skip

    return Sequential(
        conv=conv(3, 32, 3),
        norm=BatchNorm2d(32),
        act=ReLU(),
        block1=Residual(body(32, 32, 1)),
        act1=ReLU(),
        block2=Residual(body(32, 48, 2), Sequential(conv(32, 48, 1, 2), BatchNorm2d(48))),
        act2=ReLU(),
        pool=AdaptiveAvgPool2d(1),
        flatten=Flatten(),
    )


def pass_through(model: Sequential) -> dict[str, np.ndarray]:
    """y, dx, gradients and running statistics of one pass forward and back."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((4, 3, 16, 16), dtype=np.float32)
    dy = rng.standard_normal((4, 48), dtype=np.float32)
    given = dy.copy()
    model.zero_grad()
    arrays = {"y": model(x), "dx": model.backward(dy)}
    np.testing.assert_array_equal(dy, given, err_msg="backward may not write into dy")
    arrays.update((name, parameter.grad) for name, parameter in model.named_parameters())
    arrays.update((name, buffer.value.copy()) for name, buffer in model.named_buffers())
    return arrays


@pytest.mark.parametrize("training", [True, False])
def test_residual_blocks_give_the_numbers_of_their_layers_one_by_one(training: bool) -> None:
    model = residual_network().train(training)
    twin = copy.deepcopy(model)
    fused = pass_through(model)
    with twin.watch():
        separate = pass_through(twin)
    assert fused.keys() == separate.keys()
    for name, array in fused.items():
        scale = np.abs(separate[name]).max() + 1e-6
        np.testing.assert_allclose(array, separate[name], rtol=1e-4, atol=2e-5 * scale, err_msg=name)


def test_a_residual_block_is_one_pass_with_its_batch_norm_and_relu() -> None:
    model = residual_network()
    model(np.random.default_rng(0).standard_normal((4, 3, 16, 16), dtype=np.float32))
    for relu in (model.act, model.act1, model.act2):
        assert isinstance(relu.cache, FusedReLUCache)
    for block in (model.block1, model.block2):
        assert block.body[4].cache.added_shortcut
        assert isinstance(block.body[2].cache, FusedReLUCache)


def test_shapes_that_do_not_add_up_are_named_in_a_fused_block_too() -> None:
    rng = np.random.default_rng(0)
    body = Sequential(Conv2d(8, 16, 1, bias=False, rng=rng), BatchNorm2d(16))
    with pytest.raises(
        ShapeError, match=r"Residual: the body gives \(4, 16, 16, 16\) and the shortcut \(4, 8, 16"
    ):
        Sequential(Residual(body), ReLU())(rng.standard_normal((4, 8, 16, 16), dtype=np.float32))


def test_gradients_that_a_caller_holds_do_not_change_in_the_next_step() -> None:
    model = residual_network()
    first = pass_through(model)
    held = {name: array.copy() for name, array in first.items()}
    for _ in range(2):
        pass_through(model)
    for name, array in first.items():
        np.testing.assert_array_equal(array, held[name], err_msg=name)
