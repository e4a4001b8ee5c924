"""Sequential, Residual, Concat, DenseConcat: their formulas, their children, their errors."""

import numpy as np
import pytest

from minicnn.errors import CacheError, ConfigError, ShapeError
from minicnn.layers import (
    BatchNorm2d,
    Concat,
    Conv2d,
    DenseConcat,
    Flatten,
    Identity,
    Linear,
    ReLU,
    Residual,
    Sequential,
    Tanh,
)


def conv(ins, outs, rng, **options):
    return Conv2d(ins, outs, 1, rng=rng, **options).astype(np.float64)


def images(rng, channels=3):
    return rng.standard_normal((2, channels, 4, 4))


# ---- formulas


def test_sequential_applies_its_layers_in_turn(rng):
    first, second, x = conv(3, 4, rng), conv(4, 2, rng), images(rng)
    np.testing.assert_array_equal(Sequential(first, Tanh(), second)(x), second(np.tanh(first(x))))


def test_an_empty_sequential_is_the_identity(rng):
    network, x = Sequential(), images(rng)
    assert network(x) is x
    assert network.backward(x) is x
    assert network.backward(x, need_dx=False) is None


def test_residual_sums_body_and_shortcut_forward_and_backward(rng):
    body, shortcut, x, dy = conv(3, 4, rng), conv(3, 4, rng), images(rng), images(rng, 4)
    block = Residual(body, shortcut)
    np.testing.assert_array_equal(block(x), body(x) + shortcut(x))
    dx = block.backward(dy)
    body(x), shortcut(x)
    np.testing.assert_array_equal(dx, body.backward(dy) + shortcut.backward(dy))


def test_the_default_shortcut_is_the_identity(rng):
    body, x = conv(3, 3, rng), images(rng)
    block = Residual(body)
    assert isinstance(block.shortcut, Identity)
    np.testing.assert_array_equal(block(x), body(x) + x)


def test_concat_puts_the_branches_one_after_another(rng):
    a, b, x = conv(3, 2, rng), conv(3, 4, rng), images(rng)
    y = Concat(a, Identity(), b)(x)
    np.testing.assert_array_equal(y, np.concatenate([a(x), x, b(x)], axis=1))


def test_concat_splits_dy_where_it_joined_the_branches(rng):
    a, b, x = conv(3, 2, rng), conv(3, 4, rng), images(rng)
    block = Concat(a, b)
    dy = rng.standard_normal(block(x).shape)
    dx = block.backward(dy)
    a(x), b(x)
    np.testing.assert_array_equal(dx, a.backward(dy[:, :2]) + b.backward(dy[:, 2:]))


def test_concat_joins_rows_too(rng):
    block = Concat(Linear(3, 2, rng=rng), Identity()).astype(np.float64)
    assert block(rng.standard_normal((4, 3))).shape == (4, 5)
    assert block.backward(rng.standard_normal((4, 5))).shape == (4, 3)


def test_every_layer_of_dense_concat_sees_all_before_it(rng):
    f1, f2, x = conv(3, 2, rng), conv(5, 4, rng), images(rng)
    x1 = f1(x)
    x2 = f2(np.concatenate([x, x1], axis=1))
    block = DenseConcat(f1, f2)
    np.testing.assert_array_equal(block(x), np.concatenate([x, x1, x2], axis=1))
    assert block.backward(images(rng, 9)).shape == x.shape


# ---- children


def test_children_are_numbered_or_named(rng):
    assert [name for name, _ in Sequential(ReLU(), Tanh()).children()] == ["0", "1"]
    assert [name for name, _ in Sequential(act=ReLU(), out=Tanh()).children()] == ["act", "out"]
    assert [name for name, _ in Sequential({"act": ReLU(), "0": Tanh()}).children()] == ["act", "0"]
    assert [name for name, _ in Concat(ReLU(), last=Tanh()).children()] == ["0", "last"]
    network = Sequential(conv1=Conv2d(1, 2, 3, bias=False), bn1=BatchNorm2d(2))
    assert list(network.state_dict())[:2] == ["conv1.weight", "bn1.weight"]
    assert isinstance(network.bn1, BatchNorm2d)


def test_a_collection_is_a_sequence_of_its_layers():
    first, second = ReLU(), Tanh()
    network = Sequential(first, named=second)
    assert len(network) == 2
    assert list(network) == [first, second]
    assert network[0] is first
    assert network[-1] is second


def test_a_layer_can_be_exchanged_by_index():
    network, replacement = Sequential(act=ReLU(), head=Linear(2, 2)), Linear(2, 5)
    network[-1] = replacement
    assert network.head is replacement
    assert [name for name, _ in network.children()] == ["act", "head"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Sequential([ReLU(), Tanh()]), r"'0' is \[ReLU\(\), Tanh\(\)\]: .*unpack a list with \*"),
        (
            lambda: Sequential(ReLU(), Tanh),
            r"'1' is <class .*>: write Tanh\(\.\.\.\), with brackets, to make one",
        ),
        (lambda: Concat(ReLU(), np.tanh), "Concat is made of layers, but '1' is <ufunc 'tanh'>"),
        (lambda: Sequential(ReLU(), {"a": ReLU()}), "Sequential is made of layers, but '1' is"),
        (lambda: Sequential(forward=ReLU()), "a child cannot be named 'forward', a Layer has that already"),
        (lambda: Sequential({"a.b": ReLU()}), "cannot be named 'a.b': state dicts join names by dots"),
        (lambda: Sequential({"": ReLU()}), "cannot be named ''"),
    ],
)
def test_what_is_no_layer_or_has_an_impossible_name_is_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_repr_is_a_tree():
    network = Sequential(body=Residual(Sequential(ReLU())), head=Flatten())
    assert repr(network) == (
        "Sequential(\n"
        "  (body): Residual(\n"
        "    (body): Sequential(\n"
        "      (0): ReLU()\n"
        "    )\n"
        "    (shortcut): Identity()\n"
        "  )\n"
        "  (head): Flatten()\n"
        ")"
    )


# ---- errors


def test_an_error_names_the_layer_it_came_from(rng):
    inner = Sequential(conv1=Conv2d(1, 2, 3, rng=rng), conv2=Conv2d(3, 2, 3, rng=rng))
    network = Sequential(features=inner, flat=Flatten())
    with pytest.raises(ShapeError) as caught:
        network(np.zeros((1, 1, 8, 8), dtype=np.float32))
    assert caught.value.__notes__ == [
        "in layer 'conv2': Conv2d(3, 2, kernel_size=(3, 3))",
        "in layer 'features': Sequential()",
    ]


def test_a_residual_whose_branches_differ_says_how_to_project(rng):
    with pytest.raises(
        ShapeError, match=r"body gives \(2, 4, 4, 4\) and the shortcut \(2, 3, 4, 4\): .*projects"
    ):
        Residual(conv(3, 4, rng))(images(rng))


def test_branches_of_different_sizes_are_refused(rng):
    for block in (Concat(conv(3, 2, rng), conv(3, 2, rng, stride=2)), DenseConcat(conv(3, 2, rng, stride=2))):
        with pytest.raises(
            ShapeError, match="differ in more than their channels: check their padding and stride"
        ):
            block(images(rng))


def test_a_concat_without_branches_is_refused(rng):
    with pytest.raises(ConfigError, match="Concat needs at least one branch"):
        Concat()(images(rng))


def test_a_layer_object_in_two_branches_is_found(rng):
    shared, x = conv(3, 3, rng), images(rng)
    for block in (Residual(shared, shared), Concat(shared, shared), DenseConcat(Sequential(shared, shared))):
        dy = np.ones_like(block(x))
        with pytest.raises(CacheError, match="stands in two places"):
            block.backward(dy)


@pytest.mark.parametrize("wrong", [8, 10])
def test_a_gradient_with_other_channels_is_refused(wrong, rng):
    for block in (Concat(conv(3, 5, rng), conv(3, 4, rng)), DenseConcat(conv(3, 6, rng))):
        block(images(rng))
        with pytest.raises(ShapeError, match="gradient with 9 channels"):
            block.backward(images(rng, wrong))


# ---- need_dx


def test_need_dx_false_reaches_the_first_layer(rng):
    """Its input gradient is not computed: the layer is told so, and answers None."""
    told = []

    class First(Linear):
        def backward(self, dy, need_dx=True):
            told.append(need_dx)
            return super().backward(dy, need_dx)

    for wrap in (lambda layer: Sequential(layer, ReLU()), Residual, lambda layer: Concat(layer, ReLU())):
        network = wrap(First(3, 3, rng=rng)).astype(np.float64)
        y = network(rng.standard_normal((2, 3)))
        assert Sequential(network).backward(np.ones_like(y), need_dx=False) is None
    assert told == [False, False, False]
