"""Down when nothing improves any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minicnn.errors import ConfigError
from minicnn.optim import Optimizer
from minicnn.schedules.base import Schedule, StepsBy


class ReduceLROnPlateau(Schedule):
    """lr ← factor lr when the metric has not improved for more than `patience` steps.

    mode "min" is for a loss, "max" for an accuracy. Better means better than the best so far by
    more than threshold: relative to it (threshold_mode "rel") or absolute ("abs"). After a drop,
    `cooldown` steps pass before bad ones are counted again. The rate never falls below min_lr
    (a number, or a list with one for each group), and a drop by eps or less is not made.
    """

    needs_metric = True

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        *,
        steps_by: StepsBy | None = None,
    ) -> None:
        super().__init__(optimizer, steps_by)
        self._require(mode in ("min", "max"), f'mode must be "min" or "max", got {mode!r}')
        self._require(0 < factor < 1, f"factor must be between 0 and 1, got {factor!r}")
        self._require(
            threshold_mode in ("rel", "abs"), f'threshold_mode must be "rel" or "abs", got {threshold_mode!r}'
        )
        groups = len(optimizer.groups)
        self.min_lrs = list(min_lr) if isinstance(min_lr, Sequence) else [min_lr] * groups
        self._require(
            len(self.min_lrs) == groups,
            f"min_lr has {len(self.min_lrs)} values for {groups} groups of parameters; "
            "give a number, or one for each",
        )
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best: float | None = None
        self.bad_steps = 0
        self.cooldown_left = 0

    def step(self, metric: float | None = None) -> None:
        """Look at the metric of the last step, usually the validation loss; NaN counts as no better."""
        if metric is None:
            raise ConfigError("ReduceLROnPlateau needs a metric: schedule.step(validation_loss)")
        self.steps += 1
        if self._is_better(float(metric)):
            self.best = float(metric)
            self.bad_steps = 0
        else:
            self.bad_steps += 1
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            self._reduce()
            self.cooldown_left = self.cooldown
            self.bad_steps = 0

    def apply(self) -> None:
        """Nothing: the learning rates are in the optimizer, no number of steps gives them."""

    def _is_better(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.best is None:
            return metric * sign > -math.inf
        if self.threshold_mode == "rel":
            return sign * metric > sign * (self.best * (1 + sign * self.threshold))
        return sign * metric > sign * (self.best + sign * self.threshold)

    def _reduce(self) -> None:
        for group, min_lr in zip(self.optimizer.groups, self.min_lrs):
            lr = max(group["lr"] * self.factor, min_lr)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """Schedule.state_dict() and the counters, the best metric and the learning rates."""
        return super().state_dict() | {
            "best": self.best,
            "bad_steps": self.bad_steps,
            "cooldown_left": self.cooldown_left,
            "lrs": self.last_lr,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.best = state_dict["best"]
        self.bad_steps = int(state_dict["bad_steps"])
        self.cooldown_left = int(state_dict["cooldown_left"])
        for group, lr in zip(self.optimizer.groups, state_dict["lrs"]):
            group["lr"] = lr
