"""The geometry of windows, in the order in which the kernels take it."""

from __future__ import annotations

from typing import Any


def window_arguments(window: Any, dilated: bool = True) -> tuple[int, ...]:
    """H, W, P, Q, R, S, strides, dilations (if the kernel takes them) and padding before."""
    dilation = window.dilation if dilated else ()
    return (*window.input, *window.output, *window.kernel, *window.stride, *dilation, *window.before)


def parts_for(values: int, channels: int, each: int = 4096, most_blocks: int = 1024) -> int:
    """Into how many parts a sum over a channel's values is cut: enough blocks for the GPU, none too small."""
    return max(1, min(-(-values // each), most_blocks // channels))
