"""Whatever is handed in, the answer says what was given, what was expected and what to do."""

from __future__ import annotations

import itertools
import re
import threading
from typing import Any

import numpy as np
import pytest

from minicnn.errors import ConfigError, DTypeError
from minicnn.gradcheck import Report, Verdict, check_function, check_layer, check_model

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


def square(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x**2, x


def d_square(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return 2 * dy * x


def broken(report: Report, kind: str, words: str, verdict: Verdict) -> None:
    assert report.has(kind), report
    assert words in " ".join(finding.text for finding in report.findings), report
    assert report.verdict is verdict, report
    assert str(report)
    assert report.to_dict()["ok"] is False
    with pytest.raises(AssertionError, match=re.escape(words[:20])):
        report.assert_ok()


# ---- arguments


def test_integer_arrays_are_refused_with_the_way_out() -> None:
    with pytest.raises(DTypeError, match=r"x holds int64 values.*x\.astype\(numpy\.float64\)"):
        check_function(square, d_square, np.arange(4))


def test_complex_arrays_are_refused() -> None:
    with pytest.raises(DTypeError, match="complex128"):
        check_function(square, d_square, X * 1j)


def test_lists_are_refused() -> None:
    with pytest.raises(DTypeError, match="x is a list, not an array"):
        check_function(square, d_square, [1.0, 2.0])


def test_integer_input_of_a_layer_is_refused() -> None:
    with pytest.raises(DTypeError, match="x holds uint8 values"):
        check_layer(Squaring(), np.zeros((2, 3), dtype=np.uint8))


def test_a_shape_must_be_a_shape() -> None:
    with pytest.raises(DTypeError, match=r"or the shape of a random one, such as \(2, 3, 8, 8\)"):
        check_layer(Squaring(), "2,3")
    with pytest.raises(ConfigError, match="negative size"):
        check_layer(Squaring(), (2, -3))


def test_nan_in_the_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="x contains NaN or infinite values"):
        check_function(square, d_square, np.array([1.0, np.nan]))
    with pytest.raises(ConfigError, match="x contains NaN or infinite values"):
        check_layer(Squaring(), np.array([1.0, np.inf]))


def test_no_array_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="no array to check"):
        check_function(square, d_square)


def test_functions_must_be_callable() -> None:
    with pytest.raises(ConfigError, match="forward is a ndarray and cannot be called"):
        check_function(X, X)  # type: ignore[arg-type]


def test_a_layer_must_be_a_layer() -> None:
    with pytest.raises(ConfigError, match=r"has no method forward\(\)"):
        check_layer(object(), X)
    with pytest.raises(ConfigError, match="Squaring is a class: pass an object"):
        check_layer(Squaring, X)


def test_a_layer_that_cannot_be_copied_is_refused() -> None:
    layer = Squaring()
    layer.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="cannot be copied"):
        check_layer(layer, X)


# ---- code that does not work


class Squaring:
    """y = x², and the base of the broken ones."""

    def forward(self, x: np.ndarray) -> Any:
        self.x = x
        return x**2

    def backward(self, dy: np.ndarray) -> Any:
        return 2 * dy * self.x


def test_a_forward_that_raises() -> None:
    class Raises(Squaring):
        def forward(self, x: np.ndarray) -> Any:
            raise ValueError("expects 5 features")

    report = check_layer(Raises(), X)
    broken(report, "forward raised", "forward raised ValueError: expects 5 features", Verdict.UNRESOLVED)
    assert "does the input have the shape" in report.findings[0].text


def test_a_backward_that_raises() -> None:
    class Raises(Squaring):
        def backward(self, dy: np.ndarray) -> Any:
            return dy @ np.ones((7, 7))

    broken(check_layer(Raises(), X), "backward raised", "backward raised ValueError", Verdict.FAIL)


def test_a_layer_that_raises_close_by() -> None:
    class Picky(Squaring):
        def forward(self, x: np.ndarray) -> Any:
            if not np.array_equal(x, X):
                raise RuntimeError("unexpected values")
            return super().forward(x)

    report = check_layer(Picky(), X)
    assert report.verdict is Verdict.UNRESOLVED
    assert "unexpected values" in str(report)


def test_a_backward_that_returns_none() -> None:
    report = check_function(square, lambda dy, x: None, X)
    broken(report, "missing gradient", "backward gives no gradient for x (None)", Verdict.FAIL)


def test_a_layer_that_forgets_the_gradient_of_a_parameter() -> None:
    class Forgets(Squaring):
        def __init__(self) -> None:
            self.params = {"w": np.ones(4)}
            self.grads: dict[str, np.ndarray] = {}

        def forward(self, x: np.ndarray) -> Any:
            return super().forward(x) * self.params["w"]

        def backward(self, dy: np.ndarray) -> Any:
            return super().backward(dy) * self.params["w"]

    broken(check_layer(Forgets(), X), "missing gradient", "no gradient for w", Verdict.FAIL)


class Switched(Squaring):
    """Uses its weight in training only, as GoogLeNet its auxiliary heads, and gives it no gradient otherwise."""

    def __init__(self, uses: bool) -> None:
        self.uses = uses
        self.params = {"w": np.full(4, 2.0, np.float32)}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> Any:
        return super().forward(x) * (self.params["w"] if self.uses else 1)

    def backward(self, dy: np.ndarray) -> Any:
        return super().backward(dy) * (self.params["w"] if self.uses else 1)


def test_a_parameter_that_nothing_depends_on_needs_no_gradient() -> None:
    for x in (X, X.astype(np.float32)):
        report = check_layer(Switched(uses=False), x)
        assert report.verdict is Verdict.PASS, report
        assert report.has("unused")
        assert "no gradient for w, and need not" in str(report)
    broken(check_layer(Switched(uses=True), X), "missing gradient", "no gradient for w", Verdict.FAIL)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [((4, 3), "transposed"), ((12,), "its gradient must have the same"), ((1, 3, 4), "batch axis")],
)
def test_a_gradient_of_the_wrong_shape(shape: tuple[int, ...], hint: str) -> None:
    report = check_function(square, lambda dy, x: (2 * dy * x).reshape(shape), X)
    broken(report, "wrong shape", f"the gradient of x has shape {shape}", Verdict.FAIL)
    assert hint in report.findings[0].text


def test_too_few_gradients() -> None:
    report = check_function(lambda a, b: (a * b, (a, b)), lambda dy, c: dy * c[1], X, X + 1)
    broken(report, "missing gradient", "no gradient for b", Verdict.FAIL)


def test_integer_gradients() -> None:
    report = check_function(square, lambda dy, x: (2 * dy * x).astype(int), X)
    broken(report, "wrong type", "holds int64 values", Verdict.FAIL)


def test_a_gradient_that_is_no_array() -> None:
    report = check_function(square, lambda dy, x: {"dx": 1}.keys(), X)
    broken(report, "wrong type", "is a dict_keys", Verdict.FAIL)


def test_forward_must_return_a_pair() -> None:
    report = check_function(lambda x: x**2, d_square, X)
    broken(report, "bad output", "expects a pair (y, cache)", Verdict.UNRESOLVED)


def test_integer_output() -> None:
    report = check_function(lambda x: (np.round(x).astype(int), x), d_square, X)
    broken(report, "bad output", "forward returned int64 values", Verdict.UNRESOLVED)


def test_an_empty_output() -> None:
    report = check_function(lambda x: (x[:0], x), d_square, X)
    broken(report, "empty output", "nothing to check", Verdict.UNRESOLVED)


def test_non_finite_outputs() -> None:
    with np.errstate(all="ignore"):
        report = check_function(lambda x: (np.log(x), x), lambda dy, x: dy / x, X)
    broken(report, "non-finite output", "NaN of 12 values", Verdict.UNRESOLVED)


def test_a_non_finite_gradient() -> None:
    x = np.array([[0.0, 1.0, 2.0]])
    report = check_function(lambda x: (x**2, x), lambda dy, x: dy * 2 * x**2 * (1 / x), x)
    broken(report, "non-finite gradient", "1 NaN of 3 values", Verdict.FAIL)


def test_shapes_that_change_between_calls() -> None:
    lengths = itertools.cycle([3, 2])
    report = check_function(lambda x: (x[: next(lengths)] ** 2, x), d_square, X)
    broken(report, "shape changes", "(3, 4) at the first call and (2, 4) at the second", Verdict.UNRESOLVED)


def test_shapes_that_change_with_the_values() -> None:
    def forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (x**2 if abs(x[0, 0] - X[0, 0]) < 1e-3 else x[:2] ** 2), x

    report = check_function(forward, d_square, X)
    assert report.verdict is Verdict.UNRESOLVED
    assert "shape" in str(report)


def test_a_function_that_is_not_deterministic() -> None:
    generator = np.random.default_rng(1)
    report = check_function(lambda x: (x**2 + generator.random(x.shape), x), d_square, X)
    broken(report, "not deterministic", "two forward passes on the same input", Verdict.UNRESOLVED)
    assert "numpy.random.Generator" in str(report)


def test_a_backward_that_is_not_deterministic() -> None:
    generator = np.random.default_rng(1)
    report = check_function(square, lambda dy, x: 2 * dy * x + generator.random(x.shape) * dy, X)
    broken(report, "backward not deterministic", "must be kept in the cache", Verdict.FAIL)


def test_numpy_s_global_generator_is_wound_back_and_left_alone() -> None:
    def forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mask = np.random.rand(*x.shape) < 0.5  # noqa: NPY002
        return x * mask, mask

    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    check_function(forward, lambda dy, mask: dy * mask, X).assert_ok()
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


def test_empty_arrays_have_nothing_to_check() -> None:
    report = check_function(
        lambda x, w: (x * w.sum(), (x, w)), lambda dy, c: (dy * c[1].sum(), dy[:0, 0]), X, X[:0, 0]
    )
    assert "empty: nothing to check" in str(report)


# ---- networks


def test_a_model_that_raises_says_where() -> None:
    class Model(Squaring):
        def forward(self, x: np.ndarray) -> Any:
            raise ValueError("no such thing")

    report = check_model(Model(), lambda s, t: (np.sum(s), np.ones_like(s)), X, None)
    broken(report, "forward raised", "no such thing", Verdict.UNRESOLVED)


def test_a_model_without_a_loss_must_bring_its_own() -> None:
    with pytest.raises(ConfigError, match=r"has no loss\(x, labels\)"):
        check_model(Squaring(), None, X, None)
