"""What Hypothesis draws: configurations of convolutions and poolings, small and all different.

A configuration holds shapes and options; its arrays come from a drawn seed, so that a failing
example prints as a few numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from tests.support.arrays import separated

seeds = st.integers(0, 2**32 - 1)


class ConvConfig(NamedTuple):
    x_shape: tuple[int, int, int, int]
    weight_shape: tuple[int, int, int, int]
    bias: bool
    options: dict[str, Any]  # stride, padding, dilation, groups, each as drawn: int, pair or "same"
    seed: int

    def arrays(self, dtype: Any = np.float64) -> dict[str, np.ndarray | None]:
        """x, weight and bias (None when switched off)."""
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal(self.x_shape).astype(dtype)
        weight = rng.standard_normal(self.weight_shape).astype(dtype)
        bias = rng.standard_normal(self.weight_shape[0]).astype(dtype) if self.bias else None
        return {"x": x, "weight": weight, "bias": bias}


class PoolConfig(NamedTuple):
    x_shape: tuple[int, int, int, int]
    kernel_size: Any
    options: dict[str, Any]  # stride, padding, ceil_mode and what is special to one pooling
    seed: int

    def x(self, dtype: Any = np.float64) -> np.ndarray:
        """Values that are well apart: no maximum changes hands while one of them moves a little."""
        return separated(np.random.default_rng(self.seed), self.x_shape).astype(dtype)


def as_pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def int_or_pair(low: int, high: int) -> st.SearchStrategy[Any]:
    one = st.integers(low, high)
    return st.one_of(one, st.tuples(one, one))


@st.composite
def conv_configs(draw: st.DrawFn) -> ConvConfig:
    """Rectangular kernels, uneven strides, every kind of padding, dilation, groups, with and without bias."""
    groups = draw(st.integers(1, 3))
    in_group, out_group = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = draw(int_or_pair(1, 2))
    padding = draw(st.one_of(int_or_pair(0, 2), st.just("same")))
    stride = 1 if padding == "same" else draw(int_or_pair(1, 3))
    size = []
    for axis in (0, 1):
        reach = as_pair(dilation)[axis] * (kernel[axis] - 1) + 1
        border = 0 if padding == "same" else as_pair(padding)[axis]
        smallest = 1 if padding == "same" else max(1, reach - 2 * border)
        size.append(draw(st.integers(smallest, smallest + 4)))
    return ConvConfig(
        x_shape=(draw(st.integers(1, 2)), groups * in_group, *size),
        weight_shape=(groups * out_group, in_group, *kernel),
        bias=draw(st.booleans()),
        options={"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        seed=draw(seeds),
    )


@st.composite
def _pool_configs(draw: st.DrawFn, dilated: bool) -> tuple[dict[str, Any], Any, tuple[int, int, int, int]]:
    kernel = draw(int_or_pair(1, 3))
    dilation = draw(int_or_pair(1, 2)) if dilated else 1
    # Half of the kernel, as far as the padding may go.
    padding = tuple(draw(st.integers(0, side // 2)) for side in as_pair(kernel))
    if padding[0] == padding[1] and draw(st.booleans()):
        padding = padding[0]
    options: dict[str, Any] = {
        "stride": draw(st.one_of(st.none(), int_or_pair(1, 3))),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        options["dilation"] = dilation
    size = []
    for axis in (0, 1):
        reach = as_pair(dilation)[axis] * (as_pair(kernel)[axis] - 1) + 1
        # A dilated window in an image smaller than its reach could step over all of it.
        spare = 2 * as_pair(padding)[axis] if as_pair(dilation)[axis] == 1 else 0
        smallest = max(1, reach - spare)
        size.append(draw(st.integers(smallest, smallest + 4)))
    return options, kernel, (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size)


@st.composite
def max_pool_configs(draw: st.DrawFn) -> PoolConfig:
    """Overlapping, gapped and dilated windows, padding up to half the kernel, ceil_mode."""
    options, kernel, shape = draw(_pool_configs(dilated=True))
    return PoolConfig(shape, kernel, options, draw(seeds))


@st.composite
def avg_pool_configs(draw: st.DrawFn) -> PoolConfig:
    """As for max pooling without dilation, and every way to choose the divisor."""
    options, kernel, shape = draw(_pool_configs(dilated=False))
    options["count_include_pad"] = draw(st.booleans())
    options["divisor_override"] = draw(st.one_of(st.none(), st.integers(1, 5)))
    return PoolConfig(shape, kernel, options, draw(seeds))


@st.composite
def adaptive_configs(draw: st.DrawFn) -> PoolConfig:
    """Fewer, as many and more bins than pixels; None keeps a size."""
    side = st.one_of(st.none(), st.integers(1, 7))
    output_size = draw(st.one_of(st.integers(1, 7), st.tuples(side, side)))
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 6)),
        draw(st.integers(1, 6)),
    )
    return PoolConfig(shape, output_size, {}, draw(seeds))


image_shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
