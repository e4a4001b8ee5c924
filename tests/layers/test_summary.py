"""summary(): the numbers of a known network, and a network left as it was."""

import numpy as np
import pytest

from minicnn.errors import ShapeError
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.layers.state import named_state


def lenet5():
    """LeNet-5 for 28 x 28 images, as LeCun et al. 1998 count it but fully connected between its layers."""
    return Sequential(
        conv1=Conv2d(1, 6, 5, padding=2),
        relu1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=Conv2d(6, 16, 5),
        relu2=ReLU(),
        pool2=MaxPool2d(2),
        flatten=Flatten(),
        fc1=Linear(400, 120),
        relu3=ReLU(),
        fc2=Linear(120, 84),
        relu4=ReLU(),
        fc3=Linear(84, 10),
    )


def test_the_numbers_of_lenet5():
    summary = lenet5().summary((1, 28, 28))
    assert summary.parameters == summary.trainable == 61_706
    assert summary.multiply_adds == 416_520
    assert summary.parameter_memory == 4 * 61_706
    assert {row.name: row.output_shape for row in summary.rows if row.kind in ("Conv2d", "Linear")} == {
        "conv1": (1, 6, 28, 28),
        "conv2": (1, 16, 10, 10),
        "fc1": (1, 120),
        "fc2": (1, 84),
        "fc3": (1, 10),
    }
    assert [row.multiply_adds for row in summary.rows if row.multiply_adds] == [
        117_600,
        240_000,
        48_000,
        10_080,
        840,
    ]
    assert summary.activation_memory == sum(4 * int(np.prod(row.output_shape)) for row in summary.rows)


def test_a_batch_multiplies_work_and_outputs_but_not_parameters():
    one, five = lenet5().summary((1, 28, 28)), lenet5().summary((5, 1, 28, 28))
    assert five.multiply_adds == 5 * one.multiply_adds
    assert five.activation_memory == 5 * one.activation_memory
    assert five.parameters == one.parameters


def test_the_table_is_printed():
    network = Sequential(conv=Conv2d(1, 2, 3), act=ReLU())
    network.conv.freeze()
    assert str(network.summary((1, 5, 5))) == (
        "Sequential, input (1, 1, 5, 5)\n"
        "layer  type    output shape  parameters  memory  multiply-adds\n"
        "--------------------------------------------------------------\n"
        "conv   Conv2d  (1, 2, 3, 3)          20    72 B            162\n"
        "act    ReLU    (1, 2, 3, 3)           0    72 B              0\n"
        "--------------------------------------------------------------\n"
        "parameters     20 (20 frozen)\n"
        "memory         80 B parameters, 144 B outputs\n"
        "multiply-adds  162"
    )


def test_large_numbers_are_readable():
    text = str(Linear(1024, 1024).summary((1024,)))
    assert "4.0 MiB" in text
    assert "1,049,600" in text


def test_a_shared_parameter_is_counted_once():
    network = Sequential(Linear(4, 4, bias=False), Linear(4, 4, bias=False))
    network[1].weight = network[0].weight
    assert network.summary((4,)).parameters == 16


def test_everything_is_left_as_it_was(rng):
    network = Sequential(
        Conv2d(1, 2, 3, rng=rng),
        BatchNorm2d(2),
        Dropout(rng=rng),
        Residual(ReLU()),
        Flatten(),
        Linear(18, 3, rng=rng),
    )
    network[1].eval()
    x = rng.standard_normal((2, 1, 5, 5)).astype(np.float32)
    y = network(x)
    modes = [layer.training for _, layer in network.named_layers()]
    caches = [layer.cache for _, layer in network.named_layers()]
    state = [holder.value.tobytes() for _, holder in named_state(network)]
    network.summary((1, 5, 5))
    assert [layer.training for _, layer in network.named_layers()] == modes
    assert all(layer.cache is cache for (_, layer), cache in zip(network.named_layers(), caches))
    assert [holder.value.tobytes() for _, holder in named_state(network)] == state
    assert not any("forward" in vars(layer) for _, layer in network.named_layers())
    assert network[2].offset == 1
    assert not any(parameter.has_grad for parameter in network.parameters())
    network.backward(np.ones_like(y))  # the forward before the summary still counts


def test_everything_is_left_as_it_was_after_an_error_too():
    network = lenet5()
    with pytest.raises(
        ShapeError, match=r"Conv2d\(1 -> 6\) expects input \(N, 1, H, W\), got \(1, 3, 28, 28\)"
    ):
        network.summary((3, 28, 28))
    assert all(layer.training for _, layer in network.named_layers())
    assert not any("forward" in vars(layer) for _, layer in network.named_layers())


def test_a_float64_network_is_measured_in_float64():
    assert Linear(4, 4).astype(np.float64).summary((4,)).parameter_memory == 8 * 20
