"""Schedules that only go down: by steps, by a factor, along a cosine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from minicnn.optim import Optimizer
from minicnn.schedules.annealing import half_cosine
from minicnn.schedules.base import Schedule, StepsBy, is_count


class StepLR(Schedule):
    """lr = base gamma^⌊t / step_size⌋: a drop by gamma every step_size steps."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *, steps_by: StepsBy | None = None
    ) -> None:
        super().__init__(optimizer, steps_by)
        self._require(
            is_count(step_size), f"step_size must be a whole number of 1 or more, got {step_size!r}"
        )
        self._require(gamma > 0, f"gamma must be above 0, got {gamma!r}")
        self.step_size = step_size
        self.gamma = gamma

    def lr_at(self, steps: int, base_lr: float) -> float:
        return base_lr * self.gamma ** (steps // self.step_size)


class MultiStepLR(Schedule):
    """lr = base gamma^(number of milestones reached): a drop by gamma at each milestone."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        *,
        steps_by: StepsBy | None = None,
    ) -> None:
        super().__init__(optimizer, steps_by)
        self.milestones = sorted(milestones)
        self._require(
            all(map(is_count, self.milestones)),
            f"milestones must be whole numbers of 1 or more, got {self.milestones}",
        )
        self._require(gamma > 0, f"gamma must be above 0, got {gamma!r}")
        self.gamma = gamma

    def lr_at(self, steps: int, base_lr: float) -> float:
        return base_lr * self.gamma ** bisect_right(self.milestones, steps)


class ExponentialLR(Schedule):
    """lr = base gammaᵗ."""

    def __init__(self, optimizer: Optimizer, gamma: float, *, steps_by: StepsBy | None = None) -> None:
        super().__init__(optimizer, steps_by)
        self._require(gamma > 0, f"gamma must be above 0, got {gamma!r}")
        self.gamma = gamma

    def lr_at(self, steps: int, base_lr: float) -> float:
        return base_lr * self.gamma**steps


class CosineAnnealingLR(Schedule):
    """lr = eta_min + (base - eta_min) (1 + cos(π t / T_max)) / 2: half a cosine, from base to eta_min.

    T_max is the length of the training: after it the rate rises again, as PyTorch's does.
    Loshchilov & Hutter 2017, SGDR: Stochastic gradient descent with warm restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, *, steps_by: StepsBy | None = None
    ) -> None:
        super().__init__(optimizer, steps_by)
        self._require(is_count(T_max), f"T_max must be a whole number of 1 or more, got {T_max!r}")
        self._require(eta_min >= 0, f"eta_min must be 0 or more, got {eta_min!r}")
        self.T_max = T_max
        self.eta_min = eta_min

    def lr_at(self, steps: int, base_lr: float) -> float:
        return half_cosine(base_lr, self.eta_min, steps / self.T_max)
