"""Adam and AdamW."""

from __future__ import annotations

import math

from minicnn.backend import Array, get_xp
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped
from minicnn.optim.groups import Params
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.options import Hyper
from minicnn.optim.state import State, remembered


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square (Kingma & Ba 2015).

        g ← g + weight_decay θ
        m ← β₁ m + (1 - β₁) g,        m̂ = m / (1 - β₁ᵗ)
        v ← β₂ v + (1 - β₂) g²,       v̂ = v / (1 - β₂ᵗ)
        θ ← θ - lr m̂ / (√v̂ + eps)

    The averages start at 0; m̂ and v̂ make up for it at step t. With amsgrad the largest v so far
    takes v's place (Reddi, Kale & Kumar 2018).
    """

    decoupled = False  # AdamW: the weight decay is no part of the gradient
    always = ("exp_avg", "exp_avg_sq")
    sometimes = ("max_exp_avg_sq",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def update(self, value: Array, grad: Array, state: State, hyper: Hyper) -> None:
        xp = get_xp(value)
        beta1, beta2 = hyper.betas
        m = remembered(state, "exp_avg", value)
        v = remembered(state, "exp_avg_sq", value)
        kernel = None if hyper.amsgrad else kernel_for("update", value, Shaped(value.shape))
        if kernel and kernel.adam(value, grad, m, v, state["step"], self.decoupled, hyper):
            return
        if self.decoupled:
            value *= 1 - hyper.lr * hyper.weight_decay
        elif hyper.weight_decay:
            grad = grad + hyper.weight_decay * value
        m *= beta1
        m += (1 - beta1) * grad
        v *= beta2
        v += (1 - beta2) * grad * grad
        if hyper.amsgrad:
            largest = remembered(state, "max_exp_avg_sq", value)
            xp.maximum(largest, v, out=largest)
            v = largest
        correction1 = 1 - beta1 ** state["step"]
        correction2 = 1 - beta2 ** state["step"]
        denominator = xp.sqrt(v)
        denominator /= math.sqrt(correction2)
        denominator += hyper.eps
        value -= (hyper.lr / correction1) * m / denominator


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    The weights shrink by themselves, θ ← θ - lr weight_decay θ, before Adam's step; in Adam the
    decay is part of the gradient, where dividing by √v̂ takes most of it away again.
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
