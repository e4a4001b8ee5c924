"""Averaged weights: less noise than the last step's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn.backend import Array, device_of, to_device
from minicnn.errors import ConfigError
from minicnn.layers.base import Layer
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class WeightAverage(Callback):
    """An exponential moving average (EMA) of the parameters, updated after every batch (Polyak & Juditsky 1992).

        θ̄ ← d θ̄ + (1 - d) θ        with d = min(decay, (1 + t) / (10 + t)) at step t

    so that the first steps, which remember random weights, are soon forgotten. While fit runs, evaluations
    see the averaged parameters, and BestWeights keeps them; the optimizer goes on with its own. Buffers
    (running statistics) are averages already and stay as they are. apply(model) puts the average in place.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"WeightAverage: decay must be from 0 up to but not including 1, got {decay}")
        self.decay = decay
        self.steps = 0
        self.average: dict[str, Array] = {}
        self._own: dict[str, Array] = {}  # the parameters, while the average stands in their place
        self._fitting = False

    def before_fit(self, trainer: Trainer) -> None:
        self._fitting = True
        if not self.average:
            self.average = {name: p.value.copy() for name, p in trainer.model.named_parameters()}
        device = trainer.model.device  # arrays from a checkpoint are on the CPU
        self.average = {name: to_device(array, device) for name, array in self.average.items()}

    def after_batch(self, trainer: Trainer) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in trainer.model.named_parameters():
            average = self.average[name]
            average += (1 - decay) * (parameter.value - average)

    def before_evaluation(self, trainer: Trainer) -> None:
        if self._fitting:
            self._own = {name: p.value.copy() for name, p in trainer.model.named_parameters()}
            self.apply(trainer.model)

    def after_evaluation(self, trainer: Trainer) -> None:
        for name, parameter in trainer.model.named_parameters():
            if name in self._own:
                parameter.value[...] = self._own[name]
        self._own = {}

    def after_fit(self, trainer: Trainer) -> None:
        self.after_evaluation(trainer)  # one that ended in an error
        self._fitting = False

    def averaged_state(self, trainer: Trainer) -> dict[str, Array] | None:
        """The model's state dict with the averaged parameters, as BestWeights keeps it."""
        return {**trainer.model.state_dict(), **{name: a.copy() for name, a in self.average.items()}}

    def apply(self, model: Layer) -> None:
        """Write the averaged parameters into the model."""
        for name, parameter in model.named_parameters():
            parameter.value[...] = to_device(self.average[name], device_of(parameter.value))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "arrays": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.average = state["steps"], dict(state["arrays"])
