"""What a student gets wrong with functions and layers, and the answer each mistake gets.

Every answer names what was given, what was expected and what to do; the tests read its text.
"""

import re

import numpy as np
import pytest

import minicnn
from minicnn import functional as F
from minicnn.errors import (
    CacheError,
    ConfigError,
    DTypeError,
    MinicnnError,
    ShapeError,
    WeightsError,
)
from minicnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)


def images(*shape, dtype=np.float32):
    return np.ones(shape, dtype=dtype)


def network():
    return Sequential(Conv2d(3, 4, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(36, 10))


def answer(error, mistake):
    """The text of the error that the mistake gets."""
    with pytest.raises(error) as caught:
        mistake()
    assert isinstance(caught.value, MinicnnError)
    return str(caught.value)


# ---- images that are not what a network expects


def test_nhwc_images():
    text = answer(ShapeError, lambda: Conv2d(3, 16, 3)(images(8, 28, 28, 3)))
    assert text == (
        "Conv2d(3 -> 16) expects input (N, 3, H, W), got (8, 28, 28, 3): "
        "this looks like NHWC; use x.transpose(0, 3, 1, 2)"
    )


def test_nhwc_images_into_batch_norm():
    text = answer(ShapeError, lambda: BatchNorm2d(3)(images(8, 28, 28, 3)))
    assert "BatchNorm2d(3) expects input (N, 3, H, W)" in text
    assert "use x.transpose(0, 3, 1, 2)" in text


def test_the_advice_for_nhwc_images_works():
    x = images(8, 8, 8, 3)
    advice = re.search(r"use x(\.transpose.*)$", answer(ShapeError, lambda: network()(x))).group(1)
    assert network()(eval("x" + advice)).shape == (8, 10)


@pytest.mark.parametrize("layer", [Conv2d(1, 2, 3), ReLU(), MaxPool2d(2), BatchNorm2d(1)], ids=repr)
def test_raw_uint8_images(layer):
    text = answer(DTypeError, lambda: layer(images(2, 1, 8, 8, dtype=np.uint8)))
    assert "raw image bytes: scale them first, x.astype(np.float32) / 255" in text


def test_integer_images():
    text = answer(DTypeError, lambda: network()(images(2, 3, 8, 8, dtype=np.int64)))
    assert text == "conv2d expects x of dtype float32 or float64, got int64: use x.astype(np.float32)"


def test_one_image_without_a_batch():
    text = answer(ShapeError, lambda: network()(images(3, 8, 8)))
    assert "got (3, 8, 8): a single image or a batch without channels? use x[None] or x[:, None]" in text


def test_flattened_images_into_a_convolution():
    text = answer(ShapeError, lambda: Conv2d(1, 6, 5)(images(32, 784)))
    assert "got (32, 784): flattened images? use x.reshape(len(x), channels, height, width)" in text


def test_a_list_instead_of_an_array():
    text = answer(DTypeError, lambda: Linear(2, 3)([[1.0, 2.0]]))
    assert text == (
        "linear expects x to be a NumPy or CuPy array, got list: use np.asarray(..., dtype=np.float32)"
    )


def test_an_array_of_another_library():
    class Tensor:
        dtype = "torch.float32"
        shape = (1, 2)

    assert "expects x to be a NumPy or CuPy array, got Tensor" in answer(
        DTypeError, lambda: Linear(2, 3)(Tensor())
    )


def test_float64_images_into_a_float32_network():
    text = answer(DTypeError, lambda: network()(images(2, 3, 8, 8, dtype=np.float64)))
    assert "different dtypes (x float64, weight float32, bias float32) and never converts silently" in text
    assert "use x.astype(...) or layer.astype(...)" in text


# ---- layers that do not fit together


def test_the_wrong_channel_count():
    text = answer(ShapeError, lambda: Sequential(Conv2d(1, 6, 3), Conv2d(8, 16, 3))(images(2, 1, 12, 12)))
    assert text == (
        "Conv2d(8 -> 16) expects input (N, 8, H, W), got (2, 6, 10, 10): 6 channels arrive where 8 are expected; "
        "check in_channels of this layer against out_channels of the one before"
    )


def test_shapes_that_do_not_fit_flatten_to_linear():
    model = Sequential(Conv2d(3, 4, 3), Flatten(), Linear(100, 10))
    text = answer(ShapeError, lambda: model(images(2, 3, 8, 8)))
    assert text == (
        "Linear(100 -> 10) expects input (N, 100), got (2, 144): each sample has 144 features; "
        "make it Linear(144, 10), or check the image size and the layers before Flatten "
        "(model.summary(input_shape) shows their shapes)"
    )


def test_flatten_left_out():
    text = answer(ShapeError, lambda: Sequential(Conv2d(3, 4, 3), Linear(144, 10))(images(2, 3, 8, 8)))
    assert "got (2, 4, 6, 6): put a Flatten() before it, or use x.reshape(len(x), -1)" in text


def test_an_error_says_which_layer_of_the_network_it_came_from():
    with pytest.raises(ShapeError) as caught:
        Sequential(body=Sequential(conv1=Conv2d(1, 2, 3), conv2=Conv2d(1, 2, 3)))(images(1, 1, 8, 8))
    assert caught.value.__notes__[0] == "in layer 'conv2': Conv2d(1, 2, kernel_size=(3, 3))"


def test_a_kernel_larger_than_the_padded_input():
    text = answer(ShapeError, lambda: Conv2d(3, 4, 7, padding=1)(images(2, 3, 4, 4)))
    assert text == (
        "Conv2d(3 -> 4): the kernel (7, 7) (dilation (1, 1)) is larger than the padded input "
        "(4 x 4 plus padding (1, 1)): use a smaller kernel, more padding, or larger images"
    )


def test_one_pooling_too_many():
    model = Sequential(MaxPool2d(2), MaxPool2d(2), MaxPool2d(2))
    assert "max_pool2d: the kernel (2, 2) (dilation (1, 1)) is larger than the padded input (1 x 1" in answer(
        ShapeError, lambda: model(images(1, 1, 4, 4))
    )


def test_a_residual_that_changes_the_shape():
    text = answer(ShapeError, lambda: Residual(Conv2d(3, 6, 1, 2))(images(1, 3, 4, 4)))
    assert "give a shortcut that projects, such as Conv2d(in_channels, out_channels, 1, stride)" in text


def test_branches_of_different_sizes():
    text = answer(ShapeError, lambda: Concat(Conv2d(3, 2, 3), Conv2d(3, 2, 5))(images(1, 3, 8, 8)))
    assert text == (
        "the branches give (1, 2, 6, 6), (1, 2, 4, 4), which differ in more than their channels: "
        "check their padding and stride"
    )


# ---- arguments that make no sense


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (lambda: Conv2d(3, 4, 3, groups=2), "groups=2 must divide both"),
        (lambda: Conv2d(3, 4, 3, padding="same", stride=2), 'padding="same" needs stride 1, got stride (2, 2)'),
        (lambda: Conv2d(3, 4, 3, padding="valid"), 'what others call "valid" is 0'),
        (lambda: Conv2d(3, 4, 3, stride=0), "stride must be at least 1, got 0"),
        (lambda: Conv2d(3, 4, 3.0), "kernel_size must be an int or a pair (height, width), got 3.0"),
        (lambda: MaxPool2d(2, padding=2)(images(1, 1, 4, 4)), "more than half the kernel"),
        (lambda: AvgPool2d(2, padding="same"), "padding must be an int or a pair (height, width), got 'same'"),
        (lambda: AdaptiveAvgPool2d(0)(images(1, 1, 4, 4)), "output_size must be at least 1, got (0, 0)"),
        (lambda: Dropout(50), "p is the probability of dropping, from 0 to 1, got 50"),
        (lambda: LocalResponseNorm(0)(images(1, 1, 4, 4)), "size must be at least 1, got 0"),
        (lambda: F.gelu_forward(images(3), "fast"), 'approximate must be "none" or "tanh", got \'fast\''),
        (lambda: Sequential([ReLU(), ReLU()]), "pass layers one by one (unpack a list with *), or by name"),
        (lambda: Sequential(Flatten(), ReLU), "write ReLU(...), with brackets, to make one"),
        (lambda: Linear(0, 10), "Linear(0 -> 10): features must be positive"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense(mistake, text):
    assert text in answer(ConfigError, mistake)


def test_an_integer_network():
    assert "layers compute in float32 or float64, not in int32" in answer(
        DTypeError, lambda: network().astype(np.int32)
    )


# ---- backward


def test_backward_before_forward():
    text = answer(CacheError, lambda: network().backward(images(2, 10)))
    assert text == (
        "Linear(36, 10).backward needs the cache of a forward pass, and there is none: call forward(x) first, "
        "once for every backward, and not inside `with minicnn.inference():`. If this layer object stands in "
        "two places of one network, make two layers: a layer has one cache."
    )


def test_backward_twice():
    model = network()
    dy = np.ones_like(model(images(2, 3, 8, 8)))
    model.backward(dy)
    assert "once for every backward" in answer(CacheError, lambda: model.backward(dy))


def test_backward_after_inference():
    model = network()
    with minicnn.inference():
        y = model(images(2, 3, 8, 8))
    assert "not inside `with minicnn.inference():`" in answer(CacheError, lambda: model.backward(y))


def test_one_layer_object_used_twice():
    relu = ReLU()
    model = Sequential(relu, Linear(3, 3), relu)
    y = model(images(2, 3))
    text = answer(CacheError, lambda: model.backward(y))
    assert "ReLU().backward needs the cache" in text
    assert "stands in two places of one network, make two layers" in text


@pytest.mark.parametrize("loss", [0.7, np.float32(0.7), np.array(0.7, dtype=np.float32)])
def test_the_loss_itself_given_to_backward(loss):
    model = network()
    model(images(2, 3, 8, 8))
    text = answer(ShapeError, lambda: model.backward(loss))
    assert "linear_backward expects dy of the shape that forward returned, (2, 10)" in text
    assert "is it the loss? model.backward takes what loss.backward() returns" in text


def test_a_gradient_of_the_wrong_shape():
    model = network()
    model(images(2, 3, 8, 8))
    text = answer(ShapeError, lambda: model.backward(images(2, 9)))
    assert text == "linear_backward expects dy of the shape that forward returned, (2, 10), got (2, 9)"


def test_a_float64_gradient_into_a_float32_network():
    model = network()
    model(images(2, 3, 8, 8))
    text = answer(DTypeError, lambda: model.backward(np.ones((2, 10))))
    assert text == (
        "linear_backward expects dy of dtype float32, as forward computed in, got float64, "
        "and never converts silently: use dy.astype(np.float32)"
    )


# ---- training


def test_a_batch_of_one_row_into_batch_norm():
    text = answer(ShapeError, lambda: BatchNorm2d(4)(images(1, 4, 1, 1)))
    assert "needs more than one value per channel, got input (1, 4, 1, 1)" in text
    assert "use a larger batch (drop_last=True in the loader), or eval mode" in text


def test_weights_of_another_network():
    state = Sequential(Conv2d(3, 8, 3), ReLU()).state_dict()
    text = answer(WeightsError, lambda: network().load_state_dict(state))
    assert "2 missing: 4.weight, 4.bias" in text
    assert "2 mismatched: 0.weight (8, 3, 3, 3) for (4, 3, 3, 3), 0.bias (8,) for (4,)" in text
    assert "Build the model with the same arguments, or load what fits with strict=False" in text
