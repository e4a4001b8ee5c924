"""The rules that hold whatever is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import layers
from minicnn.gradcheck import Verdict, check_function, check_layer

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


class Square:
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x**2

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return 2 * dy * self.x


def test_a_backward_that_is_not_zero_for_zero() -> None:
    class Leaks(Square):
        def backward(self, dy: np.ndarray) -> np.ndarray:
            return super().backward(dy) + 0.01 * self.x

    report = check_layer(Leaks(), X)
    assert report.has("backward(0) is not 0")
    assert report.verdict is Verdict.FAIL


def test_a_backward_that_is_not_linear() -> None:
    class Clips(Square):
        def backward(self, dy: np.ndarray) -> np.ndarray:
            return np.clip(super().backward(dy), -0.1, 0.1)

    report = check_layer(Clips(), X)
    assert report.has("not linear in dy")
    assert "taken from dy where it should come from the forward pass" in str(report).replace("\n    ", " ")


def test_an_output_that_a_second_forward_overwrites() -> None:
    class Reuses(Square):
        buffer: np.ndarray | None = None

        def forward(self, x: np.ndarray) -> np.ndarray:
            super().forward(x)
            if self.buffer is None or self.buffer.shape != x.shape:
                self.buffer = np.empty_like(x)
            return np.multiply(x, x, out=self.buffer)

    report = check_layer(Reuses(), X)
    assert report.has("output overwritten")
    assert report.verdict is Verdict.FAIL


def test_a_view_of_the_input_is_only_noted() -> None:
    report = check_layer(layers.Flatten(), (2, 3, 4)).assert_ok()
    assert report.has("output aliases input")


def test_samples_that_mix_are_found_where_they_should_not() -> None:
    class UsesBatchStatistics(layers.BatchNorm2d):
        def train(self, mode: bool = True) -> Any:
            return self  # eval() is ignored

    layer = UsesBatchStatistics(3).eval()
    report = check_layer(layer, (4, 3, 2, 2), samples_independent=True)
    assert report.has("samples mixed")
    assert "running statistics" in str(report)
    check_layer(layers.BatchNorm2d(3).eval(), (4, 3, 2, 2), samples_independent=True).assert_ok()


def test_the_layer_itself_is_left_as_it_was() -> None:
    rng = np.random.default_rng(0)
    net = layers.Sequential(
        layers.Conv2d(1, 2, 3, rng=rng), layers.BatchNorm2d(2), layers.Dropout(0.5, rng=rng)
    )
    before = net.state_dict()
    offset = next(layer for _, layer in net.leaves() if isinstance(layer, layers.Dropout)).offset
    x = rng.standard_normal((2, 1, 5, 5)).astype(np.float32)
    kept = x.copy()
    check_layer(net, x).assert_ok()
    after = net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert not any(parameter.has_grad for parameter in net.parameters())
    assert next(layer for _, layer in net.leaves() if isinstance(layer, layers.Dropout)).offset == offset
    assert np.array_equal(x, kept)


def test_float32_that_comes_back_as_float64() -> None:
    class Upcasts(Square):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return super().forward(x) * np.float64(1.0)

    report = check_layer(Upcasts(), X.astype(np.float32))
    assert report.has("dtype changed")
    assert "the output came out as float64" in str(report)
    check_layer(Upcasts(), X).assert_ok()


def test_a_float32_path_that_differs_from_the_float64_path() -> None:
    class Halves(Square):
        def backward(self, dy: np.ndarray) -> np.ndarray:
            dx = super().backward(dy)
            return dx / 2 if dx.dtype == np.float32 else dx

    report = check_layer(Halves(), X.astype(np.float32))
    assert report.has("float32 differs")
    assert report.verdict is Verdict.FAIL


def test_a_layer_that_computes_in_float32_whatever_it_gets_is_checked_as_far_as_that_goes() -> None:
    def forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sin(x.astype(np.float32)), x

    report = check_function(forward, lambda dy, x: dy * np.cos(x), X)
    assert report.verdict is not Verdict.FAIL
    assert check_function(forward, lambda dy, x: -dy * np.cos(x), X).verdict is Verdict.FAIL


def test_the_same_seed_gives_the_same_check() -> None:
    one, other = (check_layer(layers.GELU(), (3, 4), rng=5).to_dict() for _ in range(2))
    one.pop("seconds"), other.pop("seconds")
    assert one == other
