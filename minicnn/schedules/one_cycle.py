"""The one-cycle schedule."""

from __future__ import annotations

from collections.abc import Sequence

from minicnn.errors import ConfigError, TrainingError
from minicnn.optim import Optimizer
from minicnn.schedules.annealing import half_cosine, straight_line
from minicnn.schedules.base import Schedule, StepsBy, is_count

_ANNEALING = {"cos": half_cosine, "linear": straight_line}


class OneCycleLR(Schedule):
    """Up from max_lr / div_factor to max_lr, then down to 1 / final_div_factor of where it began.

    The way up takes the share pct_start of all steps; with three_phase the way back to the
    start takes as long, and the rest leads from there to the end. anneal_strategy, "cos" or
    "linear", is the shape of each way. With cycle_momentum, SGD's momentum or Adam's β₁ goes
    down from max_momentum to base_momentum while the rate goes up, and back.

    It lasts total_steps, or epochs · steps_per_epoch. max_lr, base_momentum and max_momentum
    are numbers, or lists with one for each group of parameters.
    Smith & Topin 2019, Super-convergence: very fast training of neural networks.
    """

    steps_by: StepsBy = "batch"

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        steps_by: StepsBy | None = None,
    ) -> None:
        super().__init__(optimizer, steps_by)
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if total_steps is None or not is_count(total_steps):
            raise ConfigError(
                "OneCycleLR: give its length, a whole number of 1 or more, as total_steps or as epochs and "
                f"steps_per_epoch; got total_steps {total_steps!r}, epochs {epochs!r}, "
                f"steps_per_epoch {steps_per_epoch!r}"
            )
        self._require(0 <= pct_start <= 1, f"pct_start must be from 0 to 1, got {pct_start!r}")
        self._require(
            not three_phase or pct_start <= 0.5,
            f"with three_phase, up and back take 2 pct_start of the steps: at most 0.5, got {pct_start!r}",
        )
        self._require(
            anneal_strategy in _ANNEALING,
            f'anneal_strategy must be "cos" or "linear", got {anneal_strategy!r}',
        )
        self._require(div_factor > 0, f"div_factor must be above 0, got {div_factor!r}")
        self._require(final_div_factor > 0, f"final_div_factor must be above 0, got {final_div_factor!r}")
        self.total_steps = total_steps
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        self.anneal = _ANNEALING[anneal_strategy]
        self.cycle_momentum = cycle_momentum
        self.max_lrs = self._per_group("max_lr", max_lr)
        self.base_lrs = [max_lr / div_factor for max_lr in self.max_lrs]
        self.base_momenta = self._per_group("base_momentum", base_momentum)
        self.max_momenta = self._per_group("max_momentum", max_momentum)
        self._require(
            not cycle_momentum or bool({"momentum", "betas"} & set(optimizer.defaults)),
            f"{type(optimizer).__name__} has no momentum to cycle; use cycle_momentum=False",
        )
        # The steps at which one way ends and the next begins. PyTorch counts like this, so that the
        # last value belongs to step total_steps - 1.
        up_end, back_end, end = pct_start * total_steps - 1, 2 * pct_start * total_steps - 2, total_steps - 1
        self.turns: list[float] = [0, up_end, back_end, end] if three_phase else [0, up_end, end]
        self.apply()

    def step(self, metric: float | None = None) -> None:
        if self.steps >= self.total_steps:
            raise TrainingError(
                f"OneCycleLR was made for {self.total_steps} steps and was stepped once more: make it with "
                f"epochs=... and steps_per_epoch=len(loader), and step it once a {self.steps_by}"
            )
        super().step()

    def apply(self) -> None:
        way, share = self._place()
        for index, group in enumerate(self.optimizer.groups):
            start, top = self.base_lrs[index], self.max_lrs[index]
            bottom = start / self.final_div_factor
            levels = (start, top, start, bottom) if self.three_phase else (start, top, bottom)  # at each turn
            group["lr"] = self.anneal(levels[way - 1], levels[way], share)
            if self.cycle_momentum:
                high, low = self.max_momenta[index], self.base_momenta[index]
                levels = (high, low, high, high)
                momentum = self.anneal(levels[way - 1], levels[way], share)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum

    def _place(self) -> tuple[int, float]:
        """The turn that the present step is on its way to, and how much of that way is done."""
        way = 1
        while way < len(self.turns) - 1 and self.steps > self.turns[way]:
            way += 1
        start, end = self.turns[way - 1], self.turns[way]
        return way, (self.steps - start) / (end - start) if end > start else 1.0

    def _per_group(self, name: str, given: float | Sequence[float]) -> list[float]:
        groups = len(self.optimizer.groups)
        values = list(given) if isinstance(given, Sequence) else [given] * groups
        self._require(
            len(values) == groups,
            f"{name} has {len(values)} values for {groups} groups of parameters; give a number, or one for each",
        )
        self._require(all(value >= 0 for value in values), f"{name} must be 0 or more, got {given!r}")
        return [float(value) for value in values]
