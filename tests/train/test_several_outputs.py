"""A network with auxiliary outputs goes through everything that surrounds the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from minicnn.data import Loader
from minicnn.errors import TrainingError
from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss, WithAuxiliary
from minicnn.optim import SGD, Adam
from minicnn.train import Callback, Checkpoint, NaNGuard, Trainer, WeightAverage
from minicnn.train.doctor import examine
from tests.support.checkpointing import InterruptAt
from tests.support.training import tiny_data, tiny_network, weights_digest


class Outputs(NamedTuple):
    main: Any
    aux: Any


class TwoHeaded(Layer):
    """In training it gives two outputs, in evaluation the main one."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.main, self.aux = tiny_network(seed), tiny_network(seed + 1)

    def forward(self, x: Any) -> Any:
        main = self.main.forward(x)
        return Outputs(main, self.aux.forward(x)) if self.training else main

    def backward(self, dy: Any) -> Any:
        return self.main.backward(dy[0]) + self.aux.backward(dy[1])


def loss() -> WithAuxiliary:
    return WithAuxiliary(CrossEntropyLoss(), 0.3)


def fit(folder: Path, *more: Callback, seed: int = 0) -> str:
    model = TwoHeaded(seed)
    callbacks = [NaNGuard(), WeightAverage(), Checkpoint(folder), *more]
    loader = Loader(tiny_data(31), 8, shuffle=True, rng=np.random.default_rng(seed))
    Trainer(model, loss(), Adam(model), callbacks=callbacks).fit(
        loader, tiny_data(9), epochs=2, resume=folder
    )
    return weights_digest(model)


def test_it_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    unbroken = fit(tmp_path / "unbroken")
    fit(tmp_path / "stopped", InterruptAt(3))
    assert fit(tmp_path / "stopped", seed=5) == unbroken


def test_the_guard_names_the_layer() -> None:
    model = TwoHeaded()
    trainer = Trainer(model, loss(), SGD(model, lr=1e30), callbacks=[NaNGuard()])
    with pytest.raises(TrainingError, match="diverged") as caught:
        trainer.fit(tiny_data(200))
    assert "the output of main." in " ".join(caught.value.__notes__)


def test_the_doctor_finds_nothing_wrong() -> None:
    diagnosis = examine(
        TwoHeaded(), tiny_data(60), tiny_data(9, seed=9), loss=loss(), figures=False, quick=True
    )
    assert diagnosis.faults == []
