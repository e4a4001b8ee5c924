"""Standard configurations of each kind of layer, for one line in a test:

    @pytest.mark.parametrize(*gradcheck.cases(Conv2d))
    def test_gradients(case):
        case.check().assert_ok()

The default settings of a layer hide most mistakes: stride, dilation, groups, padding, windows
that overlap and sizes that do not divide are where gradients go wrong. Each configuration comes
in both precisions and, where that matters, in both modes, with ties and with exact zeros.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minicnn.errors import ConfigError
from minicnn.gradcheck.adapters import view
from minicnn.gradcheck.layer import check_layer, to_dtype
from minicnn.gradcheck.report import Report

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One layer in one configuration at one kind of input."""

    make: Callable[..., Any]
    arguments: tuple[tuple[str, Any], ...] = ()
    shape: Shape = (2, 3, 6, 6)
    dtype: str = "float64"
    mode: str = "train"
    values: str = "normal"  # normal, ties (small integers) or zeros (half of them)
    samples_independent: bool | None = None
    name: str = field(default="", compare=False)

    def build(self) -> Any:
        """The layer: its parameters random, its running statistics those of some batches."""
        rng = self._rng()
        arguments = dict(self.arguments)
        if "rng" in _parameter_names(self.make):
            arguments["rng"] = rng
        layer = self.make(**arguments)
        to_dtype(layer, np.float64)
        for slot in view(layer).slots:
            slot.write(np.asarray(slot.read() + 0.3 * rng.standard_normal(np.shape(slot.read()))))
        if self.mode == "eval" and callable(getattr(layer, "eval", None)):
            if 0 not in self.shape:
                layer.forward(1 + 2 * rng.standard_normal((4, *self.shape[1:])))
            layer.eval()
        to_dtype(layer, np.dtype(self.dtype))
        return layer

    def input(self) -> np.ndarray:
        rng = self._rng()
        x = rng.standard_normal(self.shape)
        if self.values == "ties":
            x = np.round(2 * x)
        elif self.values == "zeros":
            x = np.where(rng.random(self.shape) < 0.5, 0.0, x)
        return x.astype(self.dtype)

    def check(self, **settings: Any) -> Report:
        """The report of check_layer on this case."""
        settings.setdefault("samples_independent", self.samples_independent)
        return check_layer(self.build(), self.input(), name=str(self), **settings)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(str(self).encode()))

    def __str__(self) -> str:
        settings = ",".join(f"{key}={value}" for key, value in self.arguments).replace(" ", "")
        size = "x".join(map(str, self.shape))
        kind = "" if self.values == "normal" else f"-{self.values}"
        return f"{self.name or self.make.__name__}({settings})-{size}-{self.dtype}-{self.mode}{kind}"


def cases(
    layer: type | str,
    make: Callable[..., Any] | None = None,
    configurations: Iterable[tuple[dict[str, Any], Shape]] | None = None,
    *,
    dtypes: Sequence[str] = ("float64", "float32"),
    modes: Sequence[str] | None = None,
) -> tuple[str, list[Case], bool, Callable[[Any], str]]:
    """The arguments of pytest.mark.parametrize for every standard configuration of a layer.

    layer: a class, known by its name (a student's Conv2d is swept like ours), or such a name.
    make: what builds the layer, if not the class. configurations: (arguments, input shape) pairs
    instead of the standard ones; needed for a layer whose name is not known.
    """
    name = layer if isinstance(layer, str) else layer.__name__
    build = make or layer
    if not callable(build):
        raise ConfigError(f"cases({name!r}) needs make=, the function or class that builds the layer")
    return "case", list(_sweep(name, build, configurations, dtypes, modes)), False, str


def _sweep(
    name: str,
    make: Callable[..., Any],
    configurations: Iterable[tuple[dict[str, Any], Shape]] | None,
    dtypes: Sequence[str],
    modes: Sequence[str] | None,
) -> Iterable[Case]:
    if configurations is None:
        if name not in STANDARD:
            raise ConfigError(
                f"no standard configurations are known for {name!r} (known: {', '.join(sorted(STANDARD))}): "
                "pass configurations=[(arguments, input shape), ...]"
            )
        configurations = STANDARD[name]
    if modes is None:
        modes = ("train", "eval") if name in HAS_MODES else ("train",)
    for arguments, shape in configurations:
        case = Case(make, tuple(arguments.items()), shape, name=name)
        for mode in modes:
            independent = True if mode == "eval" or name in INDEPENDENT else None
            for dtype in dtypes:
                yield replace(case, dtype=dtype, mode=mode, samples_independent=independent)
        for values in CORNERS.get(name, ()):
            yield replace(case, values=values)


def _parameter_names(make: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        return set()


def _conv(shape: Shape, out: int, kernel: Any, **settings: Any) -> tuple[dict[str, Any], Shape]:
    return {"in_channels": shape[1], "out_channels": out, "kernel_size": kernel, **settings}, shape


def _pool(shape: Shape, kernel: Any, **settings: Any) -> tuple[dict[str, Any], Shape]:
    return {"kernel_size": kernel, **settings}, shape


HAS_MODES = {"BatchNorm2d", "Dropout"}
INDEPENDENT = {
    *("Conv2d", "Linear", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "ReLU", "LeakyReLU", "ELU", "GELU"),
    *("Sigmoid", "Tanh", "Softmax", "LogSoftmax", "LocalResponseNorm", "Flatten", "Identity"),
}
CORNERS: dict[str, tuple[str, ...]] = {
    "MaxPool2d": ("ties", "zeros"),
    "ReLU": ("ties", "zeros"),
    "LeakyReLU": ("zeros",),
    "ELU": ("zeros",),
    "Conv2d": ("zeros",),
    "AvgPool2d": ("ties",),
    "Softmax": ("ties",),
    "BatchNorm2d": ("ties",),
}
_ANY_SHAPES: list[tuple[dict[str, Any], Shape]] = [({}, (2, 3, 5, 4)), ({}, (5, 7)), ({}, (1, 1, 1, 1))]

STANDARD: dict[str, list[tuple[dict[str, Any], Shape]]] = {
    "Conv2d": [
        _conv((2, 3, 7, 6), 4, 3),
        _conv((2, 3, 7, 8), 4, 3, stride=2),
        _conv((2, 2, 8, 8), 3, 3, stride=3, padding=1),
        _conv((1, 3, 6, 7), 2, 5, padding=2),
        _conv((2, 2, 9, 8), 3, 3, dilation=2),
        _conv((2, 2, 9, 9), 2, 3, stride=2, padding=2, dilation=2),
        _conv((2, 4, 6, 6), 6, 3, groups=2, padding=1),
        _conv((2, 4, 6, 5), 4, 3, groups=4, stride=2),
        _conv((2, 3, 5, 5), 4, 1, bias=False),
        _conv((2, 3, 6, 6), 4, 1, stride=2),
        _conv((2, 2, 6, 9), 3, (1, 3), stride=(2, 1), padding=(0, 2)),
        _conv((2, 4, 9, 7), 4, (3, 2), stride=(1, 2), dilation=(2, 1), groups=2),
        _conv((3, 2, 4, 4), 3, 4),
        _conv((1, 1, 1, 1), 1, 1),
    ],
    "Linear": [
        ({"in_features": 5, "out_features": 3}, (4, 5)),
        ({"in_features": 4, "out_features": 4}, (3, 4)),
        ({"in_features": 6, "out_features": 2, "bias": False}, (2, 6)),
        ({"in_features": 1, "out_features": 1}, (1, 1)),
    ],
    "MaxPool2d": [
        _pool((2, 3, 6, 6), 2),
        _pool((2, 2, 7, 7), 3, stride=2),
        _pool((2, 2, 6, 5), 3, stride=1),
        _pool((2, 2, 6, 7), 3, stride=2, padding=1),
        _pool((2, 2, 7, 8), 2, stride=2, ceil_mode=True),
        _pool((2, 2, 8, 8), 3, stride=2, padding=1, ceil_mode=True),
        _pool((1, 2, 8, 7), 2, stride=3),
        _pool((2, 2, 8, 6), (3, 2), stride=(2, 1), padding=(1, 0)),
        _pool((1, 2, 8, 8), 2, stride=1, dilation=2),
    ],
    "AvgPool2d": [
        _pool((2, 3, 6, 6), 2),
        _pool((2, 2, 7, 7), 3, stride=2),
        _pool((2, 2, 6, 5), 3, stride=1, padding=1),
        _pool((2, 2, 6, 7), 3, stride=2, padding=1, count_include_pad=False),
        _pool((2, 2, 7, 8), 2, stride=2, ceil_mode=True),
        _pool((2, 2, 8, 8), 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        _pool((1, 2, 8, 7), 2, stride=3),
        _pool((2, 2, 6, 6), 2, divisor_override=3),
    ],
    "AdaptiveAvgPool2d": [
        ({"output_size": 1}, (2, 3, 5, 4)),
        ({"output_size": (2, 3)}, (2, 2, 7, 5)),
        ({"output_size": 4}, (1, 2, 4, 4)),
        ({"output_size": 5}, (1, 2, 3, 3)),
    ],
    "BatchNorm2d": [
        ({"num_features": 3}, (4, 3, 5, 4)),
        ({"num_features": 2, "eps": 1e-3}, (3, 2, 4, 4)),
        ({"num_features": 2, "affine": False}, (3, 2, 3, 3)),
        ({"num_features": 4}, (6, 4, 1, 1)),
        ({"num_features": 2, "momentum": None}, (1, 2, 5, 3)),
    ],
    "LocalResponseNorm": [
        ({"size": 3}, (2, 5, 3, 3)),
        ({"size": 5, "alpha": 0.5, "beta": 0.75, "k": 2.0}, (2, 6, 3, 2)),
        ({"size": 2, "alpha": 1.0}, (1, 4, 3, 3)),
        ({"size": 7, "alpha": 1.0}, (2, 3, 2, 2)),
    ],
    "Dropout": [({"p": 0.5}, (3, 4, 5, 5)), ({"p": 0.2}, (6, 9)), ({"p": 0.0}, (3, 4))],
    "LeakyReLU": [*_ANY_SHAPES, ({"negative_slope": 0.2}, (2, 3, 4, 4))],
    "ELU": [*_ANY_SHAPES, ({"alpha": 0.5}, (2, 3, 4, 4))],
    "GELU": [*_ANY_SHAPES, ({"approximate": "tanh"}, (2, 3, 4, 4))],
    "Softmax": [({}, (4, 5)), ({"dim": 1}, (2, 3, 4, 4)), ({"dim": -1}, (2, 3, 4, 4))],
    "LogSoftmax": [({}, (4, 5)), ({"dim": 1}, (2, 3, 4, 4)), ({"dim": -1}, (2, 3, 4, 4))],
    "Flatten": [({}, (2, 3, 4, 5)), ({"start_dim": 2}, (2, 3, 4, 5))],
    **dict.fromkeys(("ReLU", "Sigmoid", "Tanh", "Identity"), _ANY_SHAPES),
}
