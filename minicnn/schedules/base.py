"""What all schedules share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from minicnn.errors import ConfigError, WeightsError
from minicnn.optim import Optimizer

StepsBy = Literal["batch", "epoch"]


class Schedule:
    """The base class. A subclass defines lr_at(steps, base_lr), or apply() if there is more to set;
    it calls apply() when it is made if it does not begin at base_lr.

    `steps` counts the calls of step(); `base_lrs` are the learning rates that the optimizer's
    groups had when the schedule was made.
    """

    steps_by: StepsBy = "epoch"
    needs_metric: bool = False  # whether step() must be given the validation loss (or another measure)

    def __init__(self, optimizer: Optimizer, steps_by: StepsBy | None = None) -> None:
        self._require(
            isinstance(optimizer, Optimizer),
            f"the first argument is an optimizer of minicnn.optim, got {type(optimizer).__name__}",
        )
        self._require(
            steps_by in (None, "batch", "epoch"), f'steps_by must be "batch" or "epoch", got {steps_by!r}'
        )
        self.optimizer = optimizer
        self.steps_by = steps_by or type(self).steps_by
        self.base_lrs: list[float] = self.last_lr
        self.steps = 0

    def lr_at(self, steps: int, base_lr: float) -> float:
        """The learning rate of a group after so many steps."""
        raise NotImplementedError(f"{type(self).__name__} must define lr_at(self, steps, base_lr)")

    def apply(self) -> None:
        """Write what belongs to the number of steps into the optimizer."""
        for group, base_lr in zip(self.optimizer.groups, self.base_lrs):
            group["lr"] = self.lr_at(self.steps, base_lr)

    def step(self, metric: float | None = None) -> None:
        """Go on by one batch or epoch. Only a schedule with needs_metric looks at the metric."""
        self.steps += 1
        self.apply()

    @property
    def last_lr(self) -> list[float]:
        """The learning rate of each group of the optimizer, as it is now."""
        return [group["lr"] for group in self.optimizer.groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain JSON: {"schedule": "StepLR", "steps": 7, "base_lrs": [0.1]}.

        The arguments are not in it: make the schedule with the same ones, then load this.
        """
        return {"schedule": type(self).__name__, "steps": self.steps, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the state was taken; the optimizer gets the learning rate that belongs there.

        Raises WeightsError when it is the state of another kind of schedule or for other groups.
        """
        self._check_state(state_dict)
        self.steps = int(state_dict["steps"])
        self.base_lrs = list(state_dict["base_lrs"])
        self.apply()

    def _check_state(self, state_dict: Mapping[str, Any]) -> None:
        expected = self.state_dict()
        saved = state_dict.get("schedule", "something else")
        if saved != expected["schedule"]:
            why = f"it is the state of {saved}"
        elif set(state_dict) != set(expected):
            why = f"it has the entries {sorted(state_dict)}, expected {sorted(expected)}"
        elif len(state_dict["base_lrs"]) != len(self.base_lrs):
            why = (
                f"it is for {len(state_dict['base_lrs'])} groups of parameters, "
                f"this optimizer has {len(self.base_lrs)}"
            )
        else:
            return
        raise WeightsError(
            f"the state dict does not fit this {type(self).__name__}: {why}; nothing was loaded"
        )

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise ConfigError(f"{type(self).__name__}: {message}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(by {self.steps_by}, {self.steps} steps, lr {self.last_lr[0]:.4g})"


def is_count(value: Any) -> bool:
    """Whether it is a whole number of 1 or more."""
    return hasattr(value, "__index__") and not isinstance(value, bool) and value >= 1
