"""Fine-tuning from the top: the last layers learn first."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from minicnn.errors import ConfigError
from minicnn.layers.base import Layer
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class GradualUnfreezing(Callback):
    """Begins with only the first stage trained, and unfreezes another one every `every` epochs.

    stages: lists of patterns of parameter names, such as [["fc3.*"], ["fc*"], ["*"]]; without them each child
    of the model that has parameters is a stage, from the last to the first. Parameters that no stage names
    stay frozen. Howard & Ruder 2018, Universal language model fine-tuning.

    A frozen batch norm still updates its running statistics in training: see Layer.freeze.
    """

    def __init__(self, stages: Sequence[Sequence[str]] | None = None, every: int = 1) -> None:
        if every < 1:
            raise ConfigError(f"GradualUnfreezing: every must be 1 epoch or more, got {every}")
        self.stages = None if stages is None else [list(patterns) for patterns in stages]
        self.every = every

    def before_fit(self, trainer: Trainer) -> None:
        names = [name for name, _ in trainer.model.named_parameters()]
        for pattern in (pattern for patterns in self.stages or () for pattern in patterns):
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ConfigError(
                    f"GradualUnfreezing: no parameter matches {pattern!r}; the model has {', '.join(names[:12])}"
                )

    def before_epoch(self, trainer: Trainer) -> None:
        stages = self.stages if self.stages is not None else stages_of(trainer.model)
        open_patterns = [p for stage in stages[: 1 + (trainer.epoch - 1) // self.every] for p in stage]
        for name, parameter in trainer.model.named_parameters():
            parameter.frozen = not any(fnmatchcase(name, pattern) for pattern in open_patterns)


def stages_of(model: Layer) -> list[list[str]]:
    """One stage a child with parameters, the last first."""
    children = [name for name, child in model.children() if any(True for _ in child.parameters())]
    return [[f"{name}.*"] for name in reversed(children)]
