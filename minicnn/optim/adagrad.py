"""Adagrad."""

from __future__ import annotations

from minicnn.backend import Array, get_xp
from minicnn.optim.groups import Params
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.options import Hyper
from minicnn.optim.state import State, remembered


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients (Duchi, Hazan & Singer 2011).

        g ← g + weight_decay θ
        s ← s + g²
        θ ← θ - lr / (1 + (t - 1) lr_decay) · g / (√s + eps)      at step t

    s starts at initial_accumulator_value.
    """

    always = ("sum",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )

    def update(self, value: Array, grad: Array, state: State, hyper: Hyper) -> None:
        if hyper.weight_decay:
            grad = grad + hyper.weight_decay * value
        squares = remembered(state, "sum", value, hyper.initial_accumulator_value)
        squares += grad * grad
        scale = get_xp(value).sqrt(squares)
        scale += hyper.eps
        value -= hyper.lr / (1 + (state["step"] - 1) * hyper.lr_decay) * grad / scale
