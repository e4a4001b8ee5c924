"""RMSprop."""

from __future__ import annotations

from minicnn.backend import Array, get_xp
from minicnn.optim.groups import Params
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.options import Hyper
from minicnn.optim.state import State, remembered


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of squared gradients (Tieleman & Hinton 2012).

        g ← g + weight_decay θ
        s ← alpha s + (1 - alpha) g²
        θ ← θ - lr g / (√s + eps)

    With centered, s - ḡ² takes s's place, with ḡ ← alpha ḡ + (1 - alpha) g: an estimate of the
    variance (Graves 2013). With momentum, b ← momentum b + g / (√s + eps) and θ ← θ - lr b.
    Tieleman & Hinton 2012, Coursera: Neural networks for machine learning, lecture 6.5.
    """

    always = ("square_avg",)
    sometimes = ("grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )

    def update(self, value: Array, grad: Array, state: State, hyper: Hyper) -> None:
        xp = get_xp(value)
        if hyper.weight_decay:
            grad = grad + hyper.weight_decay * value
        mean_square = remembered(state, "square_avg", value)
        mean_square *= hyper.alpha
        mean_square += (1 - hyper.alpha) * grad * grad
        if hyper.centered:
            mean = remembered(state, "grad_avg", value)
            mean *= hyper.alpha
            mean += (1 - hyper.alpha) * grad
            # Rounding can leave a variance below 0, where PyTorch's square root gives NaN.
            scale = xp.sqrt(xp.maximum(mean_square - mean * mean, 0))
        else:
            scale = xp.sqrt(mean_square)
        scale += hyper.eps
        if hyper.momentum:
            velocity = remembered(state, "momentum_buffer", value)
            velocity *= hyper.momentum
            velocity += grad / scale
            value -= hyper.lr * velocity
        else:
            value -= hyper.lr * grad / scale
