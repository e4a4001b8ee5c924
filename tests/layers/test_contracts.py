"""The contract that every layer keeps. A new layer is one line in tests/layers/cases.py."""

from __future__ import annotations

import inspect
import itertools
import warnings

import numpy as np
import pytest

import minicnn
from minicnn import functional
from minicnn import layers as L
from minicnn.errors import CacheError, DTypeError, ShapeError
from minicnn.layers.state import named_state
from tests.layers.cases import CASES, Case
from tests.support.arrays import AWKWARD, assert_close, bits, read_only
from tests.support.differences import check_gradients

every_layer = pytest.mark.parametrize("case", CASES, ids=repr)


def with_parameters(layer: L.Layer) -> bool:
    return any(True for _ in layer.parameters())


def preserves_shape(case: Case) -> bool:
    return case.layer().forward(case.x()).shape == case.x_shape


trained = pytest.mark.parametrize("case", [case for case in CASES if with_parameters(case.layer())], ids=repr)


def values(layer: L.Layer) -> list[bytes]:
    """The bits of everything that the layer remembers."""
    return bits(*(holder.value for _, holder in named_state(layer)))


def gradients(layer: L.Layer) -> dict[str, np.ndarray]:
    return {name: parameter.grad for name, parameter in layer.named_parameters()}


def rewind(layer: L.Layer) -> None:
    """Let dropout start over, so that the next forward draws the same masks."""
    for _, each in layer.named_layers():
        if isinstance(each, L.Dropout):
            each.offset = 0


def run(case: Case, dtype=np.float64) -> tuple[L.Layer, np.ndarray, np.ndarray, np.ndarray]:
    """A layer, its input, its output and a random gradient for it, after one forward."""
    layer, x = case.layer(dtype), case.x(dtype)
    y = layer(x)
    return layer, x, y, case.dy(y)


def test_every_public_layer_stands_in_the_table():
    built = {type(each).__name__ for case in CASES for _, each in case.layer().named_layers()}
    public = {
        name
        for name in L.__all__
        if inspect.isclass(getattr(L, name)) and issubclass(getattr(L, name), L.Layer)
    }
    assert public - {"Layer"} == built


# ---- gradients


@every_layer
def test_backward_agrees_with_differences(case):
    layer, x = case.layer(np.float64), case.x(np.float64)
    parameters = dict(layer.named_parameters())

    def f(**arrays: np.ndarray) -> np.ndarray:
        rewind(layer)
        for name, parameter in parameters.items():
            parameter.value = arrays[name]
        return layer(arrays["x"])

    def analytic(v: np.ndarray) -> dict[str, np.ndarray]:
        dx = layer.backward(v)
        return {"x": dx, **gradients(layer)}

    arrays = {"x": x, **{name: parameter.value for name, parameter in parameters.items()}}
    check_gradients(f, arrays, analytic, np.random.default_rng(5))


@pytest.mark.parametrize("case", [case for case in CASES if case.functional], ids=repr)
def test_a_layer_agrees_with_its_functional_pair(case):
    """The pair, given the layer's attributes by the names of its arguments, gives the same bits."""
    forward = getattr(functional, f"{case.functional}_forward")
    backward = getattr(functional, f"{case.functional}_backward")
    layer, x = case.layer(np.float64), case.x(np.float64)
    arguments = {}
    for name in list(inspect.signature(forward).parameters)[1:]:
        attribute = getattr(layer, name, None)
        arguments[name] = attribute.value if isinstance(attribute, L.Parameter) else attribute
    expected, cache = forward(x, **arguments)
    y = layer(x)
    np.testing.assert_array_equal(y, expected)
    dy = case.dy(y)
    dx = layer.backward(dy)
    result = backward(dy, cache)
    wanted = result if isinstance(result, tuple) else (result,)
    np.testing.assert_array_equal(dx, wanted[0])
    for gradient, expected in zip(gradients(layer).values(), wanted[1:]):
        np.testing.assert_array_equal(gradient, expected)


@every_layer
def test_gradients_add_up_over_two_backwards_until_zero_grad(case):
    layer, x, _, dy = run(case)
    layer.backward(dy)
    once = gradients(layer)
    rewind(layer)
    layer.forward(x)
    layer.backward(dy)
    for name, gradient in gradients(layer).items():
        assert_close(gradient, 2 * once[name], 1e-14, name)
    layer.zero_grad()
    for parameter in layer.parameters():
        assert not parameter.has_grad
        assert not parameter.grad.any()


@every_layer
def test_without_dx_the_parameter_gradients_are_the_same(case):
    layer, _, _, dy = run(case)
    layer.backward(dy)
    expected = gradients(layer)
    inner, x, _, _ = run(case)
    network = L.Sequential(inner)
    assert network.backward(dy, need_dx=False) is None
    for name, gradient in gradients(inner).items():
        np.testing.assert_array_equal(gradient, expected[name])
    if inner.can_skip_dx:
        inner.forward(x)
        assert inner.backward(dy, need_dx=False) is None


@trained
def test_frozen_parameters_accumulate_nothing_and_dx_is_still_right(case):
    layer, x, _, dy = run(case)
    expected = layer.backward(dy)
    frozen = case.layer(np.float64)
    assert frozen.freeze() is frozen
    frozen.forward(x)
    np.testing.assert_array_equal(frozen.backward(dy), expected)
    assert not any(parameter.has_grad for parameter in frozen.parameters())
    assert frozen.unfreeze() is frozen
    frozen.forward(x)
    frozen.backward(dy)
    for name, gradient in gradients(frozen).items():
        np.testing.assert_array_equal(gradient, gradients(layer)[name])


@trained
def test_freezing_one_parameter_leaves_the_others_gradients(case):
    layer, x, _, dy = run(case)
    expected = layer.backward(dy)
    for frozen_name, _ in layer.named_parameters():
        other = case.layer(np.float64)
        dict(other.named_parameters())[frozen_name].frozen = True
        other.forward(x)
        np.testing.assert_array_equal(other.backward(dy), expected)
        for name, parameter in other.named_parameters():
            assert parameter.has_grad == (name != frozen_name)
            if name != frozen_name:
                np.testing.assert_array_equal(parameter.grad, gradients(layer)[name])


# ---- the cache


@every_layer
def test_backward_without_a_forward_is_refused(case):
    layer = case.layer()
    dy = case.dy(case.layer()(case.x()))
    with pytest.raises(CacheError, match=r"call forward\(x\) first"):
        layer.backward(dy)


@every_layer
def test_a_second_backward_is_refused(case):
    layer, _, _, dy = run(case)
    layer.backward(dy)
    with pytest.raises(CacheError, match="once for every backward"):
        layer.backward(dy)


@every_layer
def test_nothing_is_kept_under_inference(case):
    layer, x, y, dy = run(case)
    rewind(layer)
    with minicnn.inference():
        np.testing.assert_array_equal(layer(x), y)
        assert all(each.cache is None for _, each in layer.named_layers())
    with pytest.raises(CacheError, match=r"not inside `with minicnn\.inference\(\):`"):
        layer.backward(dy)


@every_layer
def test_two_forwards_do_not_allow_two_backwards(case):
    layer, x, _, dy = run(case)
    layer.forward(x)
    layer.backward(dy)
    with pytest.raises(CacheError):
        layer.backward(dy)


@pytest.mark.parametrize("case", [case for case in CASES if preserves_shape(case)], ids=repr)
def test_a_layer_object_used_twice_in_one_network_is_found_at_its_second_backward(case):
    layer = case.layer()
    network = L.Sequential(first=layer, second=layer)
    y = network(case.x())
    with pytest.raises(CacheError, match="make two layers: a layer has one cache"):
        network.backward(case.dy(y))


@every_layer
def test_a_second_forward_replaces_the_first_cleanly(case):
    layer, _, _, dy = run(case)
    rewind(layer)
    x = case.x(np.float64, seed=9)
    y = layer(x)
    dx = layer.backward(dy)
    fresh = case.layer(np.float64)
    np.testing.assert_array_equal(fresh(x), y)
    np.testing.assert_array_equal(fresh.backward(dy), dx)
    for name, gradient in gradients(fresh).items():
        np.testing.assert_array_equal(gradients(layer)[name], gradient)


# ---- state, modes, moves


@every_layer
def test_state_goes_out_and_in_in_place(case):
    layer, other = case.layer(), case.layer(seed=8)
    layer(case.x())
    state = layer.state_dict()
    arrays = {name: holder.value for name, holder in named_state(other)}
    assert list(state) == list(arrays)
    report = other.load_state_dict(state)
    assert not any(report)
    for name, holder in named_state(other):
        assert holder.value is arrays[name], f"{name} was replaced"
        np.testing.assert_array_equal(holder.value, state[name], strict=True)
    rewind(layer)
    layer.eval(), other.eval()
    np.testing.assert_array_equal(other(case.x()), layer(case.x()))


@every_layer
def test_a_state_dict_holds_contiguous_copies(case):
    layer = case.layer()
    before = values(layer)
    for name, array in layer.state_dict().items():
        assert array.flags.c_contiguous, name
        array[...] = 77
    assert values(layer) == before


@trained
def test_a_state_dict_of_transposed_weights_is_contiguous_still(case):
    layer = case.layer()
    expected = layer.state_dict()
    for parameter in layer.parameters():
        parameter.value = AWKWARD["transposed"](parameter.value)
    for name, array in layer.state_dict().items():
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, expected[name])


@every_layer
def test_modes_reach_everything_below(case):
    layer = case.layer()
    assert layer.eval() is layer
    assert not any(each.training for _, each in layer.named_layers())
    assert layer.train() is layer
    assert all(each.training for _, each in layer.named_layers())
    layer.train(False)
    assert not any(each.training for _, each in layer.named_layers())


@every_layer
def test_astype_converts_floats_and_computes_in_them(case):
    layer = case.layer()
    kinds = {name: holder.value.dtype.kind for name, holder in named_state(layer)}
    assert layer.astype(np.float64) is layer
    for name, holder in named_state(layer):
        assert holder.value.dtype == (np.float64 if kinds[name] == "f" else np.int64), name
    x = case.x(np.float64)
    y = layer(x)
    dx = layer.backward(case.dy(y))
    assert {array.dtype for array in (y, dx, *gradients(layer).values())} == {np.dtype(np.float64)}
    assert_close(case.layer()(case.x()), y, 2e-6)  # a float32 layer agrees with its float64 copy


@every_layer
def test_astype_empties_the_cache_and_refuses_other_types(case):
    layer, _, _, dy = run(case)
    with pytest.raises(DTypeError, match="float32 or float64, not in int64"):
        layer.astype(np.int64)
    layer.astype(np.float32)
    with pytest.raises(CacheError):
        layer.backward(dy.astype(np.float32))


@every_layer
def test_float32_stays_float32(case):
    layer, _, y, dy = run(case, np.float32)
    dx = layer.backward(dy)
    assert {array.dtype for array in (y, dx, *gradients(layer).values())} == {np.dtype(np.float32)}


# ---- arrays that others hold


@every_layer
def test_nothing_that_is_passed_in_is_written_to(case):
    """Nor are parameters by a pass, nor buffers by backward or in evaluation."""
    layer, x = case.layer(), read_only(case.x())
    parameters = [parameter.value for parameter in layer.parameters()]
    before, parameters_before = bits(x), bits(*parameters)
    y = layer(x)
    state = values(layer)
    dy = read_only(case.dy(y))
    dy_before = bits(dy)
    layer.backward(dy)
    assert bits(x) == before
    assert bits(dy) == dy_before
    assert bits(*parameters) == parameters_before
    assert values(layer) == state
    layer.eval()(x)
    assert values(layer) == state


@every_layer
@pytest.mark.parametrize("awkward", sorted(AWKWARD))
def test_strides_are_free_at_the_door(case, awkward):
    layer, view = case.layer(np.float64), AWKWARD[awkward](case.x(np.float64))
    y = layer(view)
    dy = AWKWARD[awkward](case.dy(y))
    dx = layer.backward(dy)
    other = case.layer(np.float64)
    assert_close(y, other(view.copy(order="C")), 1e-12)
    assert_close(dx, other.backward(dy.copy(order="C")), 1e-12)
    for name, gradient in gradients(other).items():
        assert_close(gradients(layer)[name], gradient, 1e-12, name)


@every_layer
def test_results_share_no_memory_with_what_was_passed_in(case):
    layer, x, y, dy = run(case)
    dx = layer.backward(dy)
    arrays = [x, *(parameter.value for parameter in layer.parameters())]
    made = [dx, *gradients(layer).values()]
    if not case.passes_through:
        assert not any(np.shares_memory(y, array) for array in arrays)
        assert not any(np.shares_memory(array, other) for array in made for other in [*arrays, y, dy])
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(made, 2))


@every_layer
def test_what_a_caller_holds_never_changes(case):
    """An output, an input gradient and a parameter gradient, through another round of passes."""
    layer, _, y, dy = run(case)
    dx = layer.backward(dy)
    held = [y, dx, *gradients(layer).values()]
    before = bits(*held)
    other_y = layer(case.x(np.float64, seed=4))
    layer.backward(case.dy(other_y, seed=6))
    assert bits(*held) == before


# ---- behaviour


@every_layer
def test_the_same_generator_gives_the_same_bits(case):
    layer, _, y, dy = run(case, np.float32)
    other, _, other_y, _ = run(case, np.float32)
    np.testing.assert_array_equal(y, other_y)
    np.testing.assert_array_equal(layer.backward(dy), other.backward(dy))
    assert bits(*gradients(layer).values()) == bits(*gradients(other).values())


@every_layer
def test_backward_is_linear_in_dy(case):
    layer, x, y, first = run(case)
    second = case.dy(y, seed=2)
    results = []
    for dy in (first, second, 2 * first - 3 * second, 0 * first):
        rewind(layer)
        layer.zero_grad()
        layer.forward(x)
        results.append({"x": layer.backward(dy), **gradients(layer)})
    of_first, of_second, of_both, of_zero = results
    for name, gradient in of_both.items():
        assert_close(gradient, 2 * of_first[name] - 3 * of_second[name], 1e-11, name)
        assert not of_zero[name].any()


@pytest.mark.parametrize("case", [case for case in CASES if not case.mixes_samples], ids=repr)
def test_samples_do_not_see_each_other(case):
    layer, x, y, dy = run(case)
    dx = layer.backward(dy)
    for n in range(len(x)):
        assert_close(layer(x[n : n + 1]), y[n : n + 1], 1e-13)
        assert_close(layer.backward(dy[n : n + 1]), dx[n : n + 1], 1e-13)


@every_layer
def test_an_empty_batch_passes_without_a_warning(case):
    layer, full = case.layer(), case.layer()(case.x())
    if case.needs_samples:
        with pytest.raises(ShapeError, match="more than one value per channel"):
            layer(case.x(batch=0))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer(case.x(batch=0))
        dx = layer.backward(case.dy(y))
    assert y.shape == (0, *full.shape[1:])
    assert dx.shape == (0, *case.x_shape[1:])
    assert not any(gradient.any() for gradient in gradients(layer).values())


@every_layer
def test_a_dy_of_the_wrong_shape_is_refused(case):
    for reshape in (lambda dy: dy[None], lambda dy: dy[:-1], lambda dy: np.concatenate([dy, dy], axis=1)):
        layer, _, _, dy = run(case)
        with pytest.raises(ShapeError, match="expects"):
            layer.backward(reshape(dy))


@every_layer
def test_the_signature_tells_the_active_set(case):
    layer, x, _, _ = run(case)
    signature = layer.signature()
    assert bool(signature) == case.kinks
    layer.forward(x + 1e-9 * x)
    for before, after in zip(signature, layer.signature()):
        np.testing.assert_array_equal(before, after)
    if case.kinks:
        layer.forward(-x)
        assert any((before != after).any() for before, after in zip(signature, layer.signature()))
        with minicnn.inference():
            layer.forward(x)
        with pytest.raises(CacheError):
            layer.signature()


@every_layer
def test_watching_records_every_leaf_and_leaves_no_trace(case):
    layer, x, y, dy = run(case)
    dx = layer.backward(dy)
    rewind(layer)
    attributes = {name: set(vars(each)) for name, each in layer.named_layers()}
    with layer.watch() as records:
        np.testing.assert_array_equal(layer(x), y)
        np.testing.assert_array_equal(layer.backward(dy), dx)
    assert list(records) == [name for name, _ in layer.leaves()]
    for record in records.values():
        assert all(array is not None for array in (record.x, record.y, record.dy, record.dx))
        assert record.dy.shape == record.y.shape
        assert record.dx.shape == record.x.shape
    assert {name: set(vars(each)) for name, each in layer.named_layers()} == attributes


@every_layer
def test_repr_names_the_layer_and_rebuilds_a_leaf(case):
    layer = case.layer()
    assert repr(layer).startswith(type(layer).__name__ + "(")
    for name, child in layer.children():
        assert f"({name}): {type(child).__name__}(" in repr(layer)
    if not any(layer.children()):
        assert repr(eval(repr(layer), vars(L))) == repr(layer)


@every_layer
def test_the_summary_tells_the_output_shape(case):
    layer = case.layer()
    y = layer.eval()(case.x())
    summary = layer.summary(case.x_shape)
    assert summary.rows
    if not any(layer.children()):
        assert [row.output_shape for row in summary.rows] == [y.shape]
    assert summary.parameters == sum(parameter.size for parameter in layer.parameters())
