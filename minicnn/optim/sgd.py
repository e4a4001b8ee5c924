"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped
from minicnn.optim.groups import Params
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.options import Hyper
from minicnn.optim.state import State, remembered


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

        g ← g + weight_decay θ
        v ← momentum v + (1 - dampening) g        (v ← g at the first step)
        θ ← θ - lr v,   with nesterov  θ ← θ - lr (g + momentum v)

    Polyak 1964, Some methods of speeding up the convergence of iteration methods; Nesterov 1983;
    Sutskever, Martens, Dahl & Hinton 2013, On the importance of initialization and momentum.
    """

    sometimes = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def check(self, options: Mapping[str, Any]) -> None:
        super().check(options)
        if options.get("nesterov") and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ConfigError(
                f"SGD: nesterov needs momentum > 0 and dampening = 0, got momentum {options['momentum']} "
                f"and dampening {options['dampening']}"
            )

    def update(self, value: Array, grad: Array, state: State, hyper: Hyper) -> None:
        first = "momentum_buffer" not in state
        velocity = remembered(state, "momentum_buffer", value) if hyper.momentum else None
        kernel = kernel_for("update", value, Shaped(value.shape))
        if kernel and kernel.sgd(value, grad, velocity, first, hyper):
            return
        if hyper.weight_decay:
            grad = grad + hyper.weight_decay * value
        if velocity is not None:
            velocity *= hyper.momentum
            velocity += grad if first else (1 - hyper.dampening) * grad
            grad = grad + hyper.momentum * velocity if hyper.nesterov else velocity
        value -= hyper.lr * grad
