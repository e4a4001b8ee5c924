"""Layers that are not ours, in every style in which they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.gradcheck import DictLayer, Verdict, check_layer, check_model


def affine_forward(x: np.ndarray, params: dict[str, np.ndarray]) -> tuple[np.ndarray, Any]:
    return x @ params["W"] + params["b"], (x, params["W"])


def affine_backward(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x, weight = cache
    return dout @ weight.T, {"W": x.T @ dout, "b": dout.sum(axis=0)}


def parameters(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}


class Attributes:
    """self.W and self.dW, made by backward."""

    names = ("dW", "db")

    def __init__(self, rng: np.random.Generator) -> None:
        self.W, self.b = parameters(rng).values()
        self.x: np.ndarray | None = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        y, self.cache = affine_forward(x, {"W": self.W, "b": self.b})
        self.x = x
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.dx, grads = affine_backward(dy, self.cache)
        for name, gradient in zip(self.names, grads.values()):
            setattr(self, name, gradient)
        return self.dx


class Dictionaries:
    """self.params["W"] and self.grads["W"]."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.params = parameters(rng)
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        y, self.cache = affine_forward(x, self.params)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, self.grads = affine_backward(dy, self.cache)
        return dx


class ReturnsPair(Dictionaries):
    """backward returns (dx, grads)."""

    def backward(self, dy: np.ndarray) -> Any:
        return affine_backward(dy, self.cache)


class Tensor:
    def __init__(self, data: np.ndarray) -> None:
        self.data, self.grad = data, np.zeros_like(data)


class Objects:
    """parameters() gives objects with data and grad, which add up."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.tensors = {name: Tensor(value) for name, value in parameters(rng).items()}

    def parameters(self) -> list[Tensor]:
        return list(self.tensors.values())

    def forward(self, x: np.ndarray) -> np.ndarray:
        y, self.cache = affine_forward(x, {name: tensor.data for name, tensor in self.tensors.items()})
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, grads = affine_backward(dy, self.cache)
        for name, gradient in grads.items():
            self.tensors[name].grad += gradient
        return dx


class Renamed(Attributes):
    names = ("grad_W", "b_grad")


def functions(rng: np.random.Generator) -> DictLayer:
    return DictLayer(affine_forward, affine_backward, parameters(rng))


STYLES = [Attributes, Renamed, Dictionaries, ReturnsPair, Objects, functions]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_style_is_read(style: Any, dtype: str, rng: np.random.Generator) -> None:
    report = check_layer(style(rng), rng.standard_normal((5, 4)).astype(dtype))
    assert [array.shape for array in report.arrays] == [(5, 4), (4, 3), (3,)], report
    if dtype == "float64":
        report.assert_ok()
    assert not [f for f in report.findings if f.kind not in ("dtype changed", "output aliases input")]


@pytest.mark.parametrize("style", STYLES)
def test_a_mistake_is_found_in_every_style(style: Any, rng: np.random.Generator, monkeypatch: Any) -> None:
    right = affine_backward

    def wrong(dout: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        dx, grads = right(dout, cache)
        return dx, {**grads, "b": dout.mean(axis=0)}

    monkeypatch.setitem(globals(), "affine_backward", wrong)
    layer = DictLayer(affine_forward, wrong, parameters(rng)) if style is functions else style(rng)
    report = check_layer(layer, rng.standard_normal((5, 4)))
    assert [array.verdict for array in report.arrays] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    assert "averaged over the batch" in str(report)
    assert report.findings == []


def test_a_layer_without_parameters_is_read() -> None:
    class Sine:
        def forward(self, x: np.ndarray) -> np.ndarray:
            self.x = x
            return np.sin(x)

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy * np.cos(self.x)

    report = check_layer(Sine(), (3, 4)).assert_ok()
    assert [array.name for array in report.arrays] == ["x"]


class TwoLayerNet:
    """CS231n's model: loss(X, y) returns the loss and a dictionary of gradients."""

    def __init__(self, rng: np.random.Generator, mistake: bool = False) -> None:
        self.params = {
            "W1": rng.standard_normal((5, 6)),
            "b1": rng.standard_normal(6),
            "W2": rng.standard_normal((6, 3)),
        }
        self.mistake = mistake

    def loss(self, x: np.ndarray, y: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        hidden = np.maximum(x @ self.params["W1"] + self.params["b1"], 0)
        scores = hidden @ self.params["W2"]
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        n = np.arange(len(y))
        d = (p - np.eye(3)[y]) / len(y)
        dhidden = d @ self.params["W2"].T * (1 if self.mistake else hidden > 0)
        return float(-np.log(p[n, y]).mean()), {
            "W1": x.T @ dhidden,
            "b1": dhidden.sum(axis=0),
            "W2": hidden.T @ d,
        }


def test_a_model_in_the_style_of_cs231n(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((4, 5)), np.array([0, 2, 1, 1])
    report = check_model(TwoLayerNet(rng), None, x, y).assert_ok()
    assert [array.name for array in report.arrays] == ["W1", "b1", "W2"]
    wrong = check_model(TwoLayerNet(rng, mistake=True), None, x, y)
    assert [str(array.verdict) for array in wrong.arrays] == ["FAIL", "FAIL", "PASS"]
