"""Up slowly, before another schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.errors import WeightsError
from minicnn.optim import Optimizer
from minicnn.schedules.base import Schedule, StepsBy, is_count


class LinearWarmup(Schedule):
    """Up from lr / warmup_steps in equal steps to lr, then on with another schedule, from its start.

    Steps t = 0 ... warmup_steps - 1 train at lr (t + 1) / warmup_steps; `after` begins at
    t = warmup_steps, or the rate stays at lr if there is none. lr is what the optimizer has when
    the warm-up is made, which is the first value of `after`.
    Goyal et al. 2017, Accurate, large minibatch SGD.
    """

    steps_by: StepsBy = "batch"

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        after: Schedule | None = None,
        *,
        steps_by: StepsBy | None = None,
    ) -> None:
        super().__init__(optimizer, steps_by)
        self._require(
            warmup_steps == 0 or is_count(warmup_steps),
            f"warmup_steps must be a whole number of 0 or more, got {warmup_steps!r}",
        )
        if after is not None:
            self._require(
                isinstance(after, Schedule), f"after must be a schedule, got {type(after).__name__}"
            )
            self._require(
                after.optimizer is optimizer, "after must be made for the same optimizer as the warm-up"
            )
            self._require(
                after.steps_by == self.steps_by,
                f"it steps by {self.steps_by} and after, {type(after).__name__}, by {after.steps_by}: make both "
                f'step alike, for instance {type(after).__name__}(..., steps_by="{self.steps_by}") with its '
                "lengths counted so",
            )
            self.needs_metric = after.needs_metric
        self.warmup_steps = warmup_steps
        self.after = after
        self.apply()

    def lr_at(self, steps: int, base_lr: float) -> float:
        return base_lr * (steps + 1) / self.warmup_steps if steps < self.warmup_steps else base_lr

    def step(self, metric: float | None = None) -> None:
        if self.after is None or self.steps < self.warmup_steps:
            super().step()
        else:
            self.steps += 1
            self.after.step(metric)

    def apply(self) -> None:
        if self.steps < self.warmup_steps or self.after is None:
            super().apply()
        else:
            self.after.apply()

    def state_dict(self) -> dict[str, Any]:
        """Schedule.state_dict() and, under "after", that of the schedule that follows."""
        return super().state_dict() | {"after": self.after.state_dict() if self.after else None}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._check_state(state_dict)
        if (self.after is None) != (state_dict["after"] is None):
            raise WeightsError(
                "the state dict does not fit this LinearWarmup: only one of the two has a schedule after it; "
                "nothing was loaded"
            )
        if self.after is not None:
            self.after.load_state_dict(state_dict["after"])
        super().load_state_dict(state_dict)
