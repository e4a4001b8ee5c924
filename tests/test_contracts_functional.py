"""The contract that every functional pair keeps. A new pair is one line in PAIRS."""

from __future__ import annotations

import inspect
import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest

from minicnn import functional
from minicnn.errors import DTypeError, ShapeError
from tests.support.arrays import AWKWARD, assert_close, bits, read_only

INTEGER = ("labels",)  # arguments that are class numbers
POSITIVE = ("var",)
CONSTANT = (*INTEGER, "mean", "var")  # arguments that backward gives no gradient for
BATCHED = ("x", "logits", "labels", "target")  # arguments whose first axis is the batch

# Backward knows no dtype of its own: it multiplies by a mask, and the answer has dy's dtype.
FOLLOWS_DY = ("relu", "leaky_relu", "max_pool2d", "dropout")
# Backward converts dy, or does not look at its dtype.
TAKES_ANY_DY = ("cross_entropy",)


class Pair:
    """The name of a pair, the shapes of its arrays (None: left out) and its options."""

    def __init__(self, name: str, arrays: dict[str, Any], **options: Any) -> None:
        self.name, self.shapes, self.options = name, arrays, options
        self.forward_function = getattr(functional, f"{name}_forward")
        self.backward_function = getattr(functional, f"{name}_backward")

    def __repr__(self) -> str:
        options = "-".join(str(value) for value in self.options.values())
        left_out = "-".join(f"no_{name}" for name, shape in self.shapes.items() if shape is None)
        return "-".join(part for part in (self.name, options, left_out) if part)

    def draw(self, seed: int = 0, dtype: Any = np.float64, batch: int | None = None) -> dict[str, Any]:
        """Arrays of the shapes, with another batch size if one is given."""
        rng = np.random.default_rng(seed)
        arrays: dict[str, Any] = {}
        for name, shape in self.shapes.items():
            if shape is not None and batch is not None and name in BATCHED:
                shape = (batch, *shape[1:])
            if shape is None:
                arrays[name] = None
            elif name in INTEGER:
                arrays[name] = rng.integers(0, 2, shape)
            elif name in POSITIVE:
                arrays[name] = rng.uniform(0.5, 2, shape).astype(dtype)
            else:
                arrays[name] = rng.standard_normal(shape).astype(dtype)
        return arrays

    def forward(self, arrays: dict[str, Any]) -> tuple[Any, Any]:
        return self.forward_function(**arrays, **self.options)

    def backward(self, dy: Any, cache: Any) -> dict[str, Any]:
        """The gradients by name: of every float array that is not a constant."""
        result = self.backward_function(dy, cache)
        names = [name for name in self.shapes if name not in CONSTANT]
        results = result if len(names) > 1 else (result,)
        assert len(results) == len(names)
        return dict(zip(names, results))

    def run(self, seed: int = 0, dtype: Any = np.float64) -> tuple[dict[str, Any], Any, Any, Any]:
        """Arrays, y, a random dy of y's shape, and the cache."""
        arrays = self.draw(seed, dtype)
        y, cache = self.forward(arrays)
        return arrays, y, self.upstream(y, seed), cache

    def upstream(self, y: Any, seed: int = 0) -> np.ndarray:
        return np.asarray(np.random.default_rng(seed + 1).standard_normal(np.shape(y)), dtype=y.dtype)


CONV = {"x": (2, 4, 5, 6), "weight": (6, 2, 3, 2), "bias": (6,)}
NORM = {"x": (3, 4, 3, 2), "weight": (4,), "bias": (4,)}
IMAGE = {"x": (2, 3, 5, 6)}

PAIRS = [
    Pair("conv2d", CONV, stride=(2, 1), padding=1, dilation=(1, 2), groups=2),
    Pair("conv2d", {"x": (2, 3, 4, 4), "weight": (2, 3, 1, 1), "bias": None}),
    Pair("max_pool2d", IMAGE, kernel_size=2),
    Pair("max_pool2d", IMAGE, kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=True),
    Pair("avg_pool2d", IMAGE, kernel_size=2),
    Pair("avg_pool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
    Pair("adaptive_avg_pool2d", IMAGE, output_size=(2, 4)),
    Pair("relu", IMAGE),
    Pair("leaky_relu", IMAGE, negative_slope=0.2),
    Pair("elu", IMAGE, alpha=1.5),
    Pair("gelu", IMAGE),
    Pair("gelu", IMAGE, approximate="tanh"),
    Pair("sigmoid", IMAGE),
    Pair("tanh", IMAGE),
    Pair("softmax", {"x": (4, 5)}),
    Pair("log_softmax", {"x": (4, 5)}, dim=1),
    Pair("linear", {"x": (3, 5), "weight": (4, 5), "bias": (4,)}),
    Pair("linear", {"x": (3, 5), "weight": (4, 5), "bias": None}),
    Pair("dropout", IMAGE, p=0.4, seed=5, offset=2),
    Pair("batch_norm2d", NORM, eps=1e-3),
    Pair("batch_norm2d", {"x": (3, 4, 3, 2), "weight": None, "bias": None}),
    Pair("batch_norm2d", {**NORM, "mean": (4,), "var": (4,)}),
    Pair("local_response_norm", IMAGE, size=2, alpha=0.5, beta=0.75, k=2.0),
    Pair("cross_entropy", {"logits": (4, 3), "labels": (4,)}),
    Pair("cross_entropy", {"logits": (4, 3, 2), "labels": (4, 2)}, reduction="none", label_smoothing=0.1),
    Pair("focal_loss", {"logits": (4, 3), "labels": (4,)}),
    Pair("focal_loss", {"logits": (4, 3, 2), "labels": (4, 2)}, reduction="none", gamma=0.5),
    Pair("soft_cross_entropy", {"logits": (4, 3), "target": (4, 3)}),
    Pair("soft_cross_entropy", {"logits": (4, 3), "target": (4, 3)}, reduction="none"),
    Pair("mse", {"x": (4, 3), "target": (4, 3)}),
    Pair("mse", {"x": (4, 3), "target": (4, 3)}, reduction="none"),
]

every_pair = pytest.mark.parametrize("pair", PAIRS, ids=repr)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def given_arrays(arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if array is not None}


def assert_same_bits(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name, strict=True)


def test_every_public_pair_stands_in_the_table():
    public = {name.removesuffix("_forward") for name in functional.__all__ if name.endswith("_forward")}
    assert public == {pair.name for pair in PAIRS}


@every_pair
@both_dtypes
def test_no_argument_is_written_to_and_read_only_arrays_are_accepted(pair, dtype):
    arrays = {name: read_only(array) for name, array in given_arrays(pair.draw(dtype=dtype)).items()}
    before = bits(*arrays.values())
    y, cache = pair.forward({**pair.draw(dtype=dtype), **arrays})
    dy = read_only(pair.upstream(y))
    dy_before = bits(dy)
    pair.backward(dy, cache)
    assert bits(*arrays.values()) == before
    assert bits(dy) == dy_before


@every_pair
@pytest.mark.parametrize("awkward", sorted(AWKWARD))
def test_strides_are_free_at_the_door(pair, awkward):
    """Forward and backward of awkward views equal those of contiguous copies of the same values."""
    drawn = pair.draw()
    views = {name: None if array is None else AWKWARD[awkward](array) for name, array in drawn.items()}
    copies = {name: None if view is None else np.ascontiguousarray(view) for name, view in views.items()}
    (y, cache), (expected, expected_cache) = pair.forward(views), pair.forward(copies)
    assert_close(y, expected, 1e-12, "y")
    dy = AWKWARD[awkward](pair.upstream(y))
    gradients = pair.backward(dy, cache)
    for name, gradient in pair.backward(dy.copy(order="C"), expected_cache).items():
        if gradient is not None:
            assert_close(gradients[name], gradient, 1e-12, name)


@every_pair
@both_dtypes
def test_dtype_in_is_dtype_out(pair, dtype):
    _, y, dy, cache = pair.run(dtype=dtype)
    assert y.dtype == dtype
    for name, gradient in pair.backward(dy, cache).items():
        assert gradient is None or gradient.dtype == dtype, name


@every_pair
def test_numbers_among_the_options_may_be_numpys(pair):
    """np.float64 and np.int64, as np.linspace gives them, neither upcast float32 nor change the result."""
    convert = {float: np.float64, int: np.int64}
    options = {name: convert.get(type(value), type(value))(value) for name, value in pair.options.items()}
    arrays, y, dy, cache = pair.run(dtype=np.float32)
    again, again_cache = pair.forward_function(**arrays, **options)
    assert_same_bits({"y": again}, {"y": y})
    assert_same_bits(pair.backward(dy, again_cache), pair.backward(dy, cache))


@every_pair
def test_dtypes_are_never_mixed(pair):
    arrays = given_arrays(pair.draw(dtype=np.float32))
    floats = [name for name in arrays if name not in INTEGER]
    for name in floats if len(floats) > 1 else []:
        with pytest.raises(DTypeError, match=r"different dtypes .*float64.* never converts silently"):
            pair.forward({**pair.draw(dtype=np.float32), name: arrays[name].astype(np.float64)})


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.name not in TAKES_ANY_DY], ids=repr)
def test_a_gradient_of_another_dtype_is_never_mixed_in(pair):
    _, _, dy, cache = pair.run(dtype=np.float32)
    if pair.name in FOLLOWS_DY:
        assert pair.backward(dy.astype(np.float64), cache)["x"].dtype == np.float64
    else:
        with pytest.raises(DTypeError, match=r"dy of dtype float32.*got float64.*dy\.astype\(np\.float32\)"):
            pair.backward(dy.astype(np.float64), cache)


@every_pair
def test_arrays_of_other_types_are_refused_with_advice(pair):
    arrays = pair.draw()
    first = next(iter(arrays))
    for wrong, text in [
        (arrays[first].tolist(), f"expects {first} to be a NumPy or CuPy array, got list: use np.asarray"),
        (arrays[first].astype(np.int64), rf"got int64: use {first}\.astype\(np\.float32\)"),
        (arrays[first].astype(np.float16), "got float16"),
        (
            arrays[first].astype(np.uint8),
            r"raw image bytes: scale them first, .*\.astype\(np\.float32\) / 255",
        ),
    ]:
        with pytest.raises(DTypeError, match=text):
            pair.forward({**arrays, first: wrong})


@every_pair
def test_results_share_no_memory_with_arguments_or_each_other(pair):
    arrays, y, dy, cache = pair.run()
    outside = [*given_arrays(arrays).values(), dy, y]
    gradients = [gradient for gradient in pair.backward(dy, cache).values() if gradient is not None]
    for array in outside[:-1]:
        assert not np.shares_memory(y, array)
    for i, gradient in enumerate(gradients):
        for array in [*outside, *gradients[:i]]:
            assert not np.shares_memory(gradient, array)


@every_pair
def test_a_result_that_is_held_never_changes(pair):
    arrays, y, dy, cache = pair.run()
    gradients = given_arrays(pair.backward(dy, cache))
    before = bits(y, *gradients.values())
    _, _, other_dy, other_cache = pair.run(seed=1)
    pair.backward(other_dy, other_cache)
    pair.backward(dy, cache)
    pair.forward(arrays)
    assert bits(y, *gradients.values()) == before


@every_pair
def test_the_same_call_gives_the_same_bits(pair):
    arrays, y, dy, cache = pair.run()
    first = pair.backward(dy, cache)
    assert_same_bits(pair.backward(dy, cache), first)  # backward takes nothing out of the cache
    again, again_cache = pair.forward(arrays)
    assert_same_bits({"y": again}, {"y": y})
    assert_same_bits(pair.backward(dy, again_cache), first)


@every_pair
def test_backward_is_linear_in_dy(pair):
    _, y, first, cache = pair.run()
    second = pair.upstream(y, seed=7)
    of_first, of_second = pair.backward(first, cache), pair.backward(second, cache)
    of_both = pair.backward(np.asarray(2 * first - 3 * second), cache)
    of_zero = pair.backward(np.zeros_like(first), cache)
    for name, gradient in of_both.items():
        if gradient is not None:
            assert_close(gradient, 2 * of_first[name] - 3 * of_second[name], 1e-11, name)
            assert not of_zero[name].any(), name


@every_pair
def test_a_dy_of_the_wrong_shape_is_refused(pair):
    _, _, dy, cache = pair.run()
    for wrong in (dy[None], np.zeros((*dy.shape, 2)), dy[:-1] if dy.ndim else np.zeros(3), 1.0):
        with pytest.raises(
            ShapeError, match=rf"{pair.name}_backward expects dy of the shape that forward returned"
        ):
            pair.backward(wrong, cache)


@every_pair
def test_an_empty_batch_gives_empty_results_without_a_warning(pair):
    if pair.name == "batch_norm2d" and "mean" not in pair.shapes:
        with pytest.raises(ShapeError, match="more than one value per channel"):
            pair.forward(pair.draw(batch=0))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, full, _, _ = pair.run()
        arrays = pair.draw(batch=0)
        y, cache = pair.forward(arrays)
        gradients = pair.backward(pair.upstream(y), cache)
    assert y.shape == ((0, *full.shape[1:]) if full.ndim else ())
    for name, gradient in gradients.items():
        if arrays[name] is None:
            assert gradient is None
        else:
            assert gradient.shape == arrays[name].shape
            assert not gradient.any()  # a sum over no samples


WITH_NEEDS = [pair for pair in PAIRS if "needs" in inspect.signature(pair.backward_function).parameters]


@pytest.mark.parametrize("pair", WITH_NEEDS, ids=repr)
def test_needs_leaves_out_what_is_not_needed_and_changes_nothing_else(pair):
    _, _, dy, cache = pair.run()
    complete = pair.backward_function(dy, cache)
    for needs in product((False, True), repeat=len(complete)):
        results = pair.backward_function(dy, cache, needs)
        for wanted, result, expected in zip(needs, results, complete):
            if wanted and expected is not None:
                np.testing.assert_array_equal(result, expected)
            else:
                assert result is None


@every_pair
def test_only_an_argument_that_is_none_has_no_gradient(pair):
    arrays, _, dy, cache = pair.run()
    for name, gradient in pair.backward(dy, cache).items():
        assert (gradient is None) == (arrays[name] is None), name
        assert gradient is None or gradient.shape == arrays[name].shape
