"""Windows: the kernel-sized patches of an image that convolution and pooling look at.

Output position (p, q) of a window looks at the padded input's positions
(p*stride + r*dilation, q*stride + s*dilation) for r < R, s < S. Everything here goes over
the R*S kernel positions, and for each takes all the P*Q input positions at once as one
strided slice (`Window.at`). im2col gathers by these slices and col2im adds back by the same
ones, so that each is the transpose of the other, line for line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.check import Pair, pair

Slices = tuple[slice, slice]


class Window(NamedTuple):
    """The geometry of all windows of one operation. Pairs are (height, width)."""

    input: tuple[int, int]  # H, W
    output: tuple[int, int]  # P, Q
    kernel: tuple[int, int]  # R, S
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]  # padding above and to the left
    after: tuple[int, int]  # padding below and to the right, the overhang of ceil_mode included

    def at(self, r: int, s: int) -> Slices:
        """The padded input's rows and columns that kernel position (r, s) meets, one per output."""
        return _strided(r, 0, self), _strided(s, 1, self)

    def positions(self) -> Iterator[tuple[int, int, Slices]]:
        """(r, s, slices) of every kernel position, in row-major order."""
        return ((r, s, self.at(r, s)) for r in range(self.kernel[0]) for s in range(self.kernel[1]))

    def pad(self, x: Array, value: float = 0.0) -> Array:
        """x (..., H, W) with the border of `value` around it."""
        (top, left), (bottom, right) = self.before, self.after
        if not any((top, left, bottom, right)):
            return x
        height, width = self.input
        padded = get_xp(x).full_like(x, value, shape=(*x.shape[:-2], *self.padded))
        padded[..., top : top + height, left : left + width] = x
        return padded

    def crop(self, padded: Array) -> Array:
        """The inverse of pad: the (..., H, W) inside the border, as a view."""
        (top, left), (height, width) = self.before, self.input
        return padded[..., top : top + height, left : left + width]

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the padded input."""
        return (
            self.before[0] + self.input[0] + self.after[0],
            self.before[1] + self.input[1] + self.after[1],
        )


def _strided(offset: int, axis: int, window: Window) -> slice:
    start = offset * window.dilation[axis]
    # The last output's position is the end: a slice of exactly `output` elements.
    stop = start + (window.output[axis] - 1) * window.stride[axis] + 1
    return slice(start, max(stop, start), window.stride[axis])


def make_window(
    who: str,
    input_size: tuple[int, int],
    kernel: Pair,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    ceil_mode: bool = False,
) -> Window:
    """Check the arguments and work out the output size.

    P = floor((H + padding - dilation*(R - 1) - 1) / stride) + 1, likewise Q; with ceil_mode
    the division rounds up, but a last window that would start in the far padding is dropped:
    (P - 1)*stride < H + padding before. padding="same" keeps P = H at stride 1, the odd one
    of an uneven padding after the image, as in PyTorch.
    """
    kernel = pair(who, "kernel_size", kernel, 1)
    stride = pair(who, "stride", stride, 1)
    dilation = pair(who, "dilation", dilation, 1)
    reach = [dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
    padding = check_padding(who, padding, stride)
    if isinstance(padding, str):
        before = (reach[0] // 2, reach[1] // 2)
        after = (reach[0] - before[0], reach[1] - before[1])
    else:
        before = after = padding

    output, overhang = [], []
    for axis in (0, 1):
        size = input_size[axis]
        room = size + before[axis] + after[axis] - reach[axis] - 1
        if room < 0:
            raise ShapeError(
                f"{who}: the kernel {kernel} (dilation {dilation}) is larger than the padded input "
                f"({input_size[0]} x {input_size[1]} plus padding {before}): "
                "use a smaller kernel, more padding, or larger images"
            )
        count = room // stride[axis] + 1
        if ceil_mode:
            count = -(-room // stride[axis]) + 1
            if (count - 1) * stride[axis] >= size + before[axis]:
                count -= 1
        output.append(count)
        # With ceil_mode the last window may hang over the padding's end.
        overhang.append(max(0, (count - 1) * stride[axis] - room))
    return Window(
        input=(int(input_size[0]), int(input_size[1])),
        output=(output[0], output[1]),
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        before=before,
        after=(after[0] + overhang[0], after[1] + overhang[1]),
    )


def check_padding(who: str, padding: Pair | str, stride: tuple[int, int]) -> tuple[int, int] | str:
    """padding as a pair, or "same", which needs stride 1."""
    if not isinstance(padding, str):
        return pair(who, "padding", padding, 0)
    if padding != "same":
        raise ConfigError(
            f'{who}: padding must be an int, a pair or "same", got {padding!r} (what others call "valid" is 0)'
        )
    if stride != (1, 1):
        raise ConfigError(
            f'{who}: padding="same" needs stride 1, got stride {stride}: give padding as a number, '
            "(kernel_size - 1) // 2 for an odd kernel"
        )
    return padding


def im2col(x: Array, window: Window) -> Array:
    """Lay out every window of x as a column: (N, C, H, W) -> (C, R, S, N, P, Q).

    columns[c, r, s, n, p, q] = padded x[n, c, p*stride + r*dilation, q*stride + s*dilation]
    """
    padded = window.pad(x.transpose(1, 0, 2, 3))  # (C, N, H, W)
    columns = get_xp(x).empty((x.shape[1], *window.kernel, x.shape[0], *window.output), dtype=x.dtype)
    for r, s, (rows, cols) in window.positions():
        columns[:, r, s] = padded[:, :, rows, cols]
    return columns


def col2im(columns: Array, window: Window) -> Array:
    """The transpose of im2col: add every column entry back to where it came from.

    (C, R, S, N, P, Q) -> (N, C, H, W); where windows overlap, their entries add up.
    """
    channels, _, _, batch = columns.shape[:4]
    padded = get_xp(columns).zeros((channels, batch, *window.padded), dtype=columns.dtype)
    for r, s, (rows, cols) in window.positions():
        padded[:, :, rows, cols] += columns[:, r, s]
    return window.crop(padded).transpose(1, 0, 2, 3)
