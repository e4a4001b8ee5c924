"""Stop at the first NaN or Inf, say where it came from, and keep the last good weights."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import TrainingError
from minicnn.layers.base import Buffer, Layer, Parameter
from minicnn.layers.state import named_state
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.losses import Loss
    from minicnn.train.trainer import Trainer


class NaNGuard(Callback):
    """Names the step and the first layer at which a number became NaN or infinite, when that ends training.

    They are in the notes of the TrainingError that the trainer raises for a loss that is not finite, or that this
    raises for such weights at the end of an epoch. The model then has the last weights whose loss was
    finite, and path, a .safetensors file, gets them too. It costs one copy of the weights a step.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.good: dict[str, Array] = {}
        self.good_step: int | None = None  # how many updates the good weights have had
        self._random: dict[str, Any] = {}  # of this batch, before its forward
        self._good_random: dict[str, Any] = {}
        self._good_batch: Any = None
        self._state: list[tuple[str, Parameter | Buffer]] = []
        self._copies: list[_Copy] = []
        self._draws: list[tuple[str, Any]] = []
        self._device = "cpu"

    def before_fit(self, trainer: Trainer) -> None:
        # Walking through the model, as asking for its device does, takes longer than copying a small one's weights:
        # once is enough.
        self._device = trainer.model.device
        self._state = list(named_state(trainer.model))
        self._copies = []
        self._draws = [
            (name, layer) for name, layer in trainer.model.named_layers() if hasattr(layer, "random_state")
        ]

    def before_batch(self, trainer: Trainer) -> None:
        if self._draws:
            self._random = {name: layer.random_state() for name, layer in self._draws}

    def after_loss(self, trainer: Trainer) -> None:
        # On a CPU the trainer has looked at the loss; on a GPU this waits for it.
        if self._device != "cpu" and not math.isfinite(trainer.batch_loss):
            assert trainer.batch is not None
            raise trainer.explain_loss(*trainer.batch)
        # The loss was finite with these weights. Gradients are not looked at: bad ones make bad weights, and so
        # the next loss tells, while the good weights and their batch are still here to look again.
        # Now and not before the update, because forward has just read the weights: they are in the cache.
        if not self._copies:
            self._lay_out()
        for copy in self._copies:
            copy.renew()
        self.good_step, self._good_batch, self._good_random = trainer.step, trainer.batch, self._random

    def _lay_out(self) -> None:
        by_dtype: dict[Any, list[tuple[str, Parameter | Buffer]]] = {}
        for name, holder in self._state:
            by_dtype.setdefault(holder.value.dtype, []).append((name, holder))
        self._copies = [_Copy([holder for _, holder in named]) for named in by_dtype.values()]
        self.good = {
            name: part
            for named, copy in zip(by_dtype.values(), self._copies)
            for (name, _), part in zip(named, copy.parts)
        }

    def after_epoch(self, trainer: Trainer) -> None:
        # No further loss may come to tell.
        if any(_is_bad(parameter.value) for parameter in trainer.model.parameters()):
            raise TrainingError(
                f"the weights became NaN or infinite at the end of epoch {trainer.epoch}: training has diverged. "
                f"Lower the learning rate (now {trainer.batch_lr:g}), or clip the gradients"
            )

    def after_error(self, trainer: Trainer) -> None:
        if not isinstance(trainer.error, TrainingError) or trainer.batch is None:
            return
        step, place = self._replay(trainer)
        if place:
            trainer.error.add_note(f"first seen at step {step}: {place}")
        if self.good_step is None:
            return
        trainer.model.load_state_dict(self.good)
        kept = f"the model has the weights after {self.good_step} updates back, the last good ones"
        if self.path is not None:
            from minicnn import weights

            weights.save(trainer.model, self.path, {"step": str(self.good_step)})
            kept += f"; they are in {self.path}"
        trainer.error.add_note(kept)

    def _replay(self, trainer: Trainer) -> tuple[int, str]:
        """(step, place) of the first bad number: forward and backward once more, watched, with the same masks.

        Weights that are bad already were made so by the step before: that one is gone through again.
        """
        step, batch, random = trainer.step + 1, trainer.batch, self._random
        bad_weights = any(_is_bad(parameter.value) for parameter in trainer.model.parameters())
        if bad_weights and self.good_step is not None:
            trainer.model.load_state_dict(self.good)
            step, batch, random = self.good_step + 1, self._good_batch, self._good_random
        for name, layer in self._draws:
            if name in random:
                layer.load_random_state(random[name])
        assert batch is not None
        place = locate(trainer.model, trainer.loss, *batch)
        if bad_weights and not place:
            place = "loss and gradients were finite, and the update made the weights NaN or infinite"
        return step, place


class _Copy:
    """A copy of arrays of one dtype, in one piece: renewing it is one call and not one an array."""

    def __init__(self, holders: list[Parameter | Buffer]) -> None:
        self._held = [(holder, holder.value) for holder in holders]
        self._flat_values = [value.reshape(-1) for _, value in self._held]
        # Views, which follow the values; of an array with gaps reshape makes a copy, which does not.
        self._follow = all(value.flags.c_contiguous for _, value in self._held)
        xp = get_xp(*(value for _, value in self._held))
        self._concatenate = xp.concatenate
        self._flat = xp.empty(sum(value.size for value in self._flat_values), self._flat_values[0].dtype)
        self.parts: list[Array] = []  # of the copy, one an array
        end = 0
        for _, value in self._held:
            start, end = end, end + value.size
            self.parts.append(self._flat[start:end].reshape(value.shape))

    def renew(self) -> None:
        for holder, value in self._held:
            if not self._follow or holder.value is not value:  # a layer may give a buffer another array
                self._flat_values = [holder.value.reshape(-1) for holder, _ in self._held]
                break
        self._concatenate(self._flat_values, out=self._flat)


def locate(model: Layer, loss: Loss, x: Array, labels: Array) -> str:
    """Where the first NaN or infinity is, in the order of computation, in words; "" when there is none.

    x (N, C, H, W), labels (N,). It runs forward and backward on the model as it is.
    """
    for name, parameter in model.named_parameters():
        if _is_bad(parameter.value):
            return f"the weights {name} held {_what(parameter.value)} before this step"
    layers = dict(model.leaves())
    with np.errstate(all="ignore"), model.watch() as records:
        logits = model.forward(x)
        for name, record in records.items():
            if record.y is not None and _is_bad(record.y):
                return f"the output of {name} ({layers[name]!r}) holds {_what(record.y)}, in the forward pass"
        value = loss.forward(logits, labels)
        if _is_bad(value):
            return f"the loss ({loss!r}) is {float(value)}, and every layer's output was finite"
        dlogits: Any = loss.backward()
        for part in dlogits if isinstance(dlogits, tuple) else (dlogits,):  # a gradient for each output
            if _is_bad(part):
                return f"the gradient of the loss ({loss!r}) holds {_what(part)}"
        model.zero_grad()
        model.backward(dlogits)
        for name, record in reversed(records.items()):
            bad = [p for p in layers[name].parameters() if p.has_grad and _is_bad(p.grad)]
            if bad or (record.dx is not None and _is_bad(record.dx)):
                return f"the gradient of {name} ({layers[name]!r}) holds {_what(bad[0].grad if bad else record.dx)}, in the backward pass"
    return ""


def _is_bad(array: Array) -> bool:
    return not bool(get_xp(array).isfinite(array).all())


def _what(array: Array) -> str:
    xp = get_xp(array)
    nan, bad = int(xp.isnan(array).sum()), int((~xp.isfinite(array)).sum())
    return f"{bad:,} of {array.size:,} numbers that are NaN ({nan:,}) or infinite ({bad - nan:,})"
