"""Parameter, Buffer and Layer: what every layer can do because it is one."""

import copy
import pickle

import numpy as np
import pytest

from minicnn.errors import ShapeError
from minicnn.layers import BatchNorm2d, Buffer, Conv2d, Layer, Linear, Parameter, ReLU, Sequential


class Scale(Layer):
    """A layer as a student writes it: no constructor of the base class to call."""

    def __init__(self, start=2.0):
        self.scale = Parameter(np.array([start]))

    def forward(self, x):
        self.cache = x
        return x * self.scale.value

    def backward(self, dy):
        x = self.take_cache()
        self.scale.accumulate(np.array([(dy * x).sum()]))
        return dy * self.scale.value


def test_a_layer_of_ones_own_needs_forward_and_backward_only():
    layer = Scale()
    np.testing.assert_array_equal(layer(np.array([3.0])), [6])
    np.testing.assert_array_equal(layer.backward(np.array([5.0])), [10])
    assert layer.scale.grad.item() == 15
    assert [name for name, _ in layer.named_parameters()] == ["scale"]


def test_a_layer_without_forward_or_backward_says_so():
    with pytest.raises(NotImplementedError, match=r"Layer must define forward\(self, x\)"):
        Layer()(np.zeros(3))
    with pytest.raises(NotImplementedError, match=r"Layer must define backward\(self, dy\)"):
        Layer().backward(np.zeros(3))


# ---- Parameter


def test_a_gradient_reads_as_zeros_until_one_has_arrived():
    parameter = Parameter(np.array([1.0, -np.inf, np.nan], dtype=np.float32))
    assert not parameter.has_grad
    np.testing.assert_array_equal(parameter.grad, np.zeros(3, dtype=np.float32), strict=True)
    parameter.accumulate(np.zeros(3, dtype=np.float32))
    assert parameter.has_grad


def test_accumulate_leaves_the_gradient_that_others_hold():
    parameter, first = Parameter(np.zeros(2)), np.array([1.0, 2.0])
    parameter.accumulate(first)
    held = parameter.grad
    parameter.accumulate(np.array([10.0, 10.0]))
    np.testing.assert_array_equal(parameter.grad, [11, 12])
    np.testing.assert_array_equal(held, [1, 2])
    np.testing.assert_array_equal(first, [1, 2])


def test_accumulate_none_or_into_a_frozen_parameter_adds_nothing():
    parameter = Parameter(np.zeros(2))
    parameter.accumulate(None)
    parameter.frozen = True
    parameter.accumulate(np.ones(2))
    assert not parameter.has_grad


def test_a_gradient_of_another_shape_is_refused():
    for give in (
        lambda p, g: p.accumulate(g),
        lambda p, g: setattr(p, "grad", g),
        lambda p, g: Parameter(p.value, g),
    ):
        with pytest.raises(
            ShapeError, match=r"gradient of shape \(3,\) does not fit a parameter of shape \(2,\)"
        ):
            give(Parameter(np.zeros(2)), np.zeros(3))


def test_a_parameter_tells_its_shape_and_state():
    parameter = Parameter(np.zeros((2, 3), dtype=np.float32))
    assert (parameter.shape, parameter.size, parameter.dtype) == ((2, 3), 6, np.float32)
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float32)"
    parameter.frozen = True
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float32, frozen)"
    assert repr(Buffer(np.zeros(4))) == "Buffer(shape=(4,), dtype=float64)"


# ---- names and order


class Block(Layer):
    def __init__(self):
        self.body = Sequential(Linear(2, 2), ReLU())
        self.gain = Parameter(np.ones(1, dtype=np.float32))
        self.norm = BatchNorm2d(2)
        self.count = Buffer(np.zeros(1, dtype=np.float32))


def test_the_order_is_own_parameters_own_buffers_children_as_they_were_assigned():
    assert list(Block().state_dict()) == [
        "gain",
        "count",
        "body.0.weight",
        "body.0.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]


def test_named_layers_leaves_and_children():
    block = Block()
    assert [name for name, _ in block.children()] == ["body", "norm"]
    assert [name for name, _ in block.named_layers()] == ["", "body", "body.0", "body.1", "norm"]
    assert [name for name, _ in block.leaves()] == ["body.0", "body.1", "norm"]
    assert [name for name, _ in block.named_buffers()] == [
        "count",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]


def test_a_replaced_child_keeps_its_place():
    block = Block()
    block.body[1] = Linear(2, 3)
    block.body = Linear(2, 5)
    assert [name for name, _ in block.named_parameters()] == [
        "gain",
        "body.weight",
        "body.bias",
        "norm.weight",
        "norm.bias",
    ]


def test_a_shared_parameter_is_yielded_once_and_gathers_both_gradients(rng):
    encoder, decoder = Linear(3, 3, bias=False, rng=rng), Linear(3, 3, bias=False, rng=rng)
    decoder.weight = encoder.weight
    network = Sequential(encoder=encoder, decoder=decoder).astype(np.float64)
    assert [name for name, _ in network.named_parameters()] == ["encoder.weight"]
    assert list(network.state_dict()) == ["encoder.weight", "decoder.weight"]
    x, dy = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    hidden, weight = x @ encoder.weight.value.T, encoder.weight.value
    network(x)
    network.backward(dy)
    np.testing.assert_allclose(encoder.weight.grad, dy.T @ hidden + (dy @ weight).T @ x)


def test_a_shared_parameter_is_converted_once():
    network = Sequential(Linear(2, 2), Linear(2, 2))
    network[1].weight = network[0].weight
    network.astype(np.float64)
    assert network[1].weight is network[0].weight
    assert network[0].weight.dtype == np.float64


# ---- retired parameters: what leaves the model must not be trained any more


def test_a_replaced_parameter_is_retired():
    layer = Linear(2, 3)
    old = layer.weight
    layer.weight = Parameter(np.zeros((3, 2), dtype=np.float32))
    assert old.retired
    assert not layer.weight.retired


def test_replacing_a_child_retires_everything_below_it():
    network = Sequential(body=Sequential(Conv2d(1, 1, 1), BatchNorm2d(1)), head=Linear(2, 2))
    body, head = list(network.body.parameters()), list(network.head.parameters())
    network.body = ReLU()
    assert len(body) == 4
    assert all(parameter.retired for parameter in body)
    assert not any(parameter.retired for parameter in head)


def test_deleting_and_setting_to_none_retire_too():
    layer = Linear(2, 3)
    weight, bias = layer.weight, layer.bias
    layer.bias = None
    del layer.weight
    assert weight.retired
    assert bias.retired


def test_a_parameter_that_moves_to_another_layer_is_welcome_again():
    layer, other = Linear(2, 3), Linear(2, 3)
    weight = layer.weight
    layer.weight = other.weight
    assert weight.retired
    other.weight = weight
    assert not weight.retired


def test_assigning_the_same_object_again_retires_nothing():
    layer = Linear(2, 3)
    layer.weight = layer.weight
    assert not layer.weight.retired


# ---- copies


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copied_network_computes_the_same_and_shares_nothing(duplicate, rng):
    network = Sequential(Conv2d(1, 2, 3, rng=rng), BatchNorm2d(2), ReLU())
    x = rng.standard_normal((2, 1, 5, 5)).astype(np.float32)
    twin = duplicate(network)
    y = network(x)
    np.testing.assert_array_equal(twin(x), y)
    twin[0].weight.value[...] = 0
    np.testing.assert_array_equal(network.eval()(x), network(x))
    assert network[0].weight.value.any()


def test_the_device_is_that_of_the_first_array():
    assert Linear(1, 1).device == "cpu"
    assert BatchNorm2d(1, affine=False).device == "cpu"
    assert ReLU().device == "cpu"


def test_to_the_cpu_keeps_arrays_where_they_are():
    layer = Linear(2, 2)
    value = layer.weight.value
    assert layer.to("cpu") is layer
    assert layer.weight.value is value
