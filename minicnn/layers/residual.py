"""y = body(x) + shortcut(x)  (He et al. 2015, "Deep residual learning", eq. 1 and 2), with a ReLU after it or not.

The container Residual and the published blocks (models/resnet.py) share these two functions. Where
the body ends in a batch norm and a ReLU follows, one pass normalises, adds and rectifies,

    y = max(batch_norm(f(x)) + shortcut(x), 0)

and backward's one pass over dy gives the body's gradient and the shortcut's, on which the body's
first convolution then adds its own: the fork's sum costs no pass over memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from minicnn.backend import Array
from minicnn.errors import ShapeError
from minicnn.kernels.choice import is_reference
from minicnn.layers.activation import Identity, ReLU
from minicnn.layers.base import Layer, backward_into
from minicnn.layers.fusion import backward_chain, forward_chain, gives_away, hand_over, is_plain
from minicnn.layers.norm import BatchNorm2d
from minicnn.layers.sums import add


def residual_forward(
    body: Sequence[tuple[str, Layer]], shortcut: Layer | None, relu: ReLU | None, x: Array
) -> Array:
    """relu(body(x) + shortcut(x)). body: its layers with their names, in order. Raises ShapeError.

    A shortcut of None is the identity; a relu of None is none.
    """
    along_shortcut = x if shortcut is None else shortcut(x)
    y = forward_chain(body[:-1], x)
    last = body[-1][1]
    if relu is not None and is_plain(relu, ReLU) and is_plain(last, BatchNorm2d) and not is_reference():
        _check_shapes(y, along_shortcut)
        fused = last.forward_relu(y, along_shortcut)  # type: ignore[attr-defined]
        if fused is not None:
            hand_over(relu, fused)
            return fused
    y = forward_chain(body[-1:], y)
    _check_shapes(y, along_shortcut)
    y = add(y, along_shortcut)
    return y if relu is None else relu(y)


def residual_backward(
    body: Sequence[Layer], shortcut: Layer | None, relu: ReLU | None, dy: Array, need_dx: bool = True
) -> Array | None:
    """The forward reversed: a sum hands dy to both its terms, a fork sums. dx, or None if not needed."""
    if relu is not None:
        dy = relu.backward(dy)
    *front, last = body
    if getattr(last.cache, "added_shortcut", False):
        dy, through_shortcut = last.backward_shortcut(dy)  # type: ignore[attr-defined]
        ours = shortcut is None or is_plain(shortcut, Identity) or gives_away(shortcut)
        through_shortcut = _through(shortcut, through_shortcut, need_dx)
        if ours:  # the array that batch norm made for the shortcut, or one made from it
            return backward_chain(front, dy, need_dx, onto=through_shortcut)
        return _sum(backward_chain(front, dy, need_dx), through_shortcut)
    through_body = backward_chain(body, dy, need_dx)
    return _sum(through_body, _through(shortcut, dy, need_dx))


def _through(shortcut: Layer | None, dy: Array, need_dx: bool) -> Array | None:
    return dy if shortcut is None else backward_into(shortcut, dy, need_dx)


def _sum(a: Array | None, b: Array | None) -> Array | None:
    return None if a is None or b is None else add(a, b)


def _check_shapes(along_body: Array, along_shortcut: Array) -> None:
    if along_body.shape != along_shortcut.shape:
        raise ShapeError(
            f"Residual: the body gives {along_body.shape} and the shortcut {along_shortcut.shape}: "
            "give a shortcut that projects, such as Conv2d(in_channels, out_channels, 1, stride)"
        )
