"""The table of algorithms: for each operation, in order of preference, what can be taken and when it wins.

A row's `can` is what its kernels are able to compute; its `wins` where they were measured to be
faster than what stands below, and large enough to be worth a launch. docs/cpu-engine.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One algorithm for one operation."""

    algorithm: str
    module: str  # in kernels/calls
    can: Callable[[Any], bool]
    wins: Callable[[Any], bool]
    why: str


class Conv(NamedTuple):
    """A convolution, as the table sees it."""

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    window: Any  # functional.windows.Window: input, output, kernel, stride, dilation, before, after

    @property
    def multiply_adds(self) -> int:
        per_output = self.in_channels * math.prod(self.window.kernel) // self.groups
        return self.batch * self.out_channels * math.prod(self.window.output) * per_output


class Linear(NamedTuple):
    """A fully connected layer."""

    batch: int
    in_features: int
    out_features: int

    @property
    def multiply_adds(self) -> int:
        return self.batch * self.in_features * self.out_features


class Shaped(NamedTuple):
    """An operation on single elements or windows: only its size matters."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Logits(NamedTuple):
    """A cross entropy."""

    shape: tuple[int, ...]
    plain: bool  # no class weights, no smoothing, nothing to ignore, one number as result


class Pool(NamedTuple):
    """A pooling of images of this shape."""

    shape: tuple[int, ...]
    kernel: tuple[int, int]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def always(case: Any) -> bool:
    return True


# Below these sizes NumPy has finished before threads have started.
def worth_threads(case: Any) -> bool:
    return case.size >= 4096


def can_convolve(case: Conv) -> bool:
    return case.batch > 0 and case.groups == 1 and case.multiply_adds > 0


def unit_stride(window: Any) -> bool:
    return window.stride == (1, 1) and window.dilation == (1, 1)


def without_border(window: Any) -> bool:
    return not any((*window.before, *window.after))


def wide(case: Conv) -> bool:
    """Outputs fill the vectors forward; in the input gradient a narrow input leaves them half empty."""
    return case.out_channels >= 32


def one_pass(module: str, why: str = "one pass") -> tuple[Row]:
    """An operation that a kernel computes wherever it is large enough for threads."""
    return (Row("direct", module, can=lambda case: case.size > 0, wins=worth_threads, why=why),)


TABLE: dict[str, tuple[Row, ...]] = {
    "conv2d": (
        Row(
            "winograd",
            "winograd_conv2d",
            can=lambda case: can_convolve(case) and case.window.kernel == (3, 3) and unit_stride(case.window),
            wins=lambda case: (
                min(case.in_channels, case.out_channels) >= 16
                and min(case.window.output) >= 7
                and case.multiply_adds >= 1_000_000
            ),
            why="3x3 of stride 1: 36 products in place of 144",
        ),
        Row(
            "direct",
            "pointwise_conv2d",
            can=lambda case: (
                can_convolve(case) and case.window.kernel == (1, 1) and without_border(case.window)
            ),
            wins=lambda case: case.out_channels >= 16 and case.multiply_adds >= 200_000,
            why="1x1: a matrix product over the channels",
        ),
        Row(
            "direct",
            "direct_conv2d",
            can=can_convolve,
            wins=lambda case: case.in_channels <= 4 and case.batch >= 64 and case.multiply_adds >= 50_000,
            why="an image's few channels: a large batch fills the vectors better",
        ),
        Row(
            "direct",
            "nhwc_conv2d",
            can=can_convolve,
            wins=lambda case: wide(case) and case.multiply_adds >= 200_000,
            why="many channels: they fill the vectors",
        ),
        Row(
            "direct",
            "direct_conv2d",
            can=can_convolve,
            wins=lambda case: case.batch >= 8 and case.multiply_adds >= 50_000,
            why="few channels: the batch fills the vectors",
        ),
    ),
    "batch_norm2d": one_pass("batch_norm2d", "two looks at each array, ReLU and addition included"),
    "linear": (
        Row(
            "direct",
            "dense_linear",
            can=lambda case: case.multiply_adds > 0,
            wins=lambda case: case.multiply_adds >= (20_000 if case.batch >= 8 else 4_000_000),
            why="the batch fills the vectors; large weights are read in long runs",
        ),
    ),
    "max_pool2d": (
        Row(
            "direct",
            "max_pool2d",
            can=lambda case: case.size > 0 and math.prod(case.kernel) <= 256,
            wins=worth_threads,
            why="one pass, one byte for each winner",
        ),
    ),
    "avg_pool2d": one_pass("avg_pool2d"),
    "adaptive_avg_pool2d": one_pass("adaptive_avg_pool2d"),
    "add": one_pass("add"),
    "concatenate": (
        Row(
            "direct",
            "concatenate",
            can=lambda case: case.size > 0 and len(case.shape) == 4,
            wins=worth_threads,
            why="pixel by pixel, channels-last",
        ),
    ),
    "relu": one_pass("relu"),
    "dropout": one_pass("dropout", "Philox in registers"),
    "cross_entropy": (
        Row(
            "direct",
            "cross_entropy",
            can=lambda case: case.plain and len(case.shape) == 2 and min(case.shape) > 0,
            wins=lambda case: math.prod(case.shape) >= 256,
            why="softmax, loss and gradient in one pass each",
        ),
    ),
    "update": (Row("direct", "updates", can=always, wins=lambda case: case.size >= 512, why="one pass"),),
}
