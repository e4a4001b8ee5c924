"""The guard against NaN: it names layer and step, and gives the last good weights back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn import weights
from minicnn.data import Loader
from minicnn.errors import TrainingError
from minicnn.layers import Dropout, Flatten, Layer, Linear, ReLU, Sequential
from minicnn.layers.base import Buffer
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD
from minicnn.train import Callback, Checkpoint, NaNGuard, Trainer
from minicnn.train.checkpoint_files import checkpoints_in
from tests.support.training import linear_network, tiny_data, tiny_network, weights_digest


def trainer_of(model: Layer, *callbacks: Callback, lr: float = 0.1) -> Trainer:
    return Trainer(model, CrossEntropyLoss(), SGD(model, lr=lr), callbacks=callbacks)


def loader() -> Loader:
    return Loader(tiny_data(24), 8, shuffle=True, rng=np.random.default_rng(0))


class Explodes(Layer):
    """The identity, until it is told to give NaN, forward or backward."""

    def __init__(self) -> None:
        self.forward_nan = self.backward_nan = False

    def forward(self, x: Any) -> Any:
        self.cache = x.shape
        return x * np.float32(np.nan) if self.forward_nan else x

    def backward(self, dy: Any) -> Any:
        self.take_cache()
        return dy * np.float32(np.inf) if self.backward_nan else dy


class ExplodesAt(Callback):
    def __init__(self, layer: Explodes, step: int, what: str) -> None:
        self.layer, self.step, self.what = layer, step, what

    def before_batch(self, trainer: Trainer) -> None:
        setattr(self.layer, self.what, trainer.step >= self.step)


class TestNaNGuard:
    def network(self) -> Sequential:
        rng = np.random.default_rng(0)
        return Sequential(
            flatten=Flatten(),
            fc1=Linear(64, 16, rng=rng),
            act=ReLU(),
            drop=Dropout(0.3, rng=rng),
            odd=Explodes(),
            fc2=Linear(16, 3, rng=rng),
        )

    @pytest.mark.parametrize(
        ("what", "where", "good"),
        [
            ("forward_nan", "the output of odd (Explodes()) holds", 3),
            ("backward_nan", "the gradient of odd (Explodes()) holds", 4),
        ],
    )
    def test_it_names_layer_and_step_and_gives_the_last_good_weights_back(
        self, what: str, where: str, good: int, tmp_path: Path
    ) -> None:
        model = self.network()
        digests: list[str] = []

        class Sees(Callback):
            def after_backward(self, trainer: Trainer) -> None:
                digests.append(weights_digest(model))

        guard = NaNGuard(tmp_path / "last_good.safetensors")
        trainer = trainer_of(model, ExplodesAt(model.odd, 4, what), guard, Sees())
        with pytest.raises(TrainingError) as raised:
            trainer.fit(loader(), epochs=3)
        notes = " ".join(raised.value.__notes__)
        assert f"first seen at step 5: {where}" in notes
        assert f"the model has the weights after {good} updates back, the last good ones" in notes
        assert weights_digest(model) == digests[good]
        other = self.network()
        weights.load(other, tmp_path / "last_good.safetensors")
        assert weights_digest(other) == digests[good]

    def test_weights_that_were_nan_before_are_named(self) -> None:
        model = self.network()
        model.fc2.weight.value[0, 0] = np.nan
        with pytest.raises(TrainingError) as raised:
            trainer_of(model, NaNGuard()).fit(loader(), epochs=1)
        assert (
            "first seen at step 1: the weights fc2.weight held 1 of 48 numbers that are NaN"
            in (raised.value.__notes__[0])
        )

    def test_buffers_that_a_layer_replaces_and_weights_with_gaps_are_kept_too(self) -> None:
        class Counts(Layer):
            """Gives its buffer another array in each forward."""

            def __init__(self) -> None:
                self.calls = Buffer(np.zeros(2, np.float32))

            def forward(self, x: Any) -> Any:
                self.calls.value = self.calls.value + np.float32(1)
                self.cache = True
                return x

            def backward(self, dy: Any) -> Any:
                self.take_cache()
                return dy

        model = Sequential(flatten=Flatten(), counts=Counts(), fc=Linear(64, 3), odd=Explodes())
        wide = np.zeros((3, 128), np.float32)
        wide[:, ::2] = model.fc.weight.value
        model.fc.weight.value = wide[:, ::2]
        kept: list[Any] = []

        class Sees(Callback):
            def after_loss(self, trainer: Trainer) -> None:
                kept.append({name: array.copy() for name, array in model.state_dict().items()})

        with pytest.raises(TrainingError):
            trainer_of(model, ExplodesAt(model.odd, 2, "forward_nan"), NaNGuard(), Sees()).fit(
                loader(), epochs=3
            )
        assert len(kept) == 2
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, kept[-1][name], err_msg=name)
        assert (model.counts.calls.value == 2).all()
        assert (kept[-1]["fc.weight"] != kept[0]["fc.weight"]).any()

    def test_a_rate_far_too_high(self) -> None:
        model = linear_network()
        with pytest.raises(TrainingError) as raised:
            trainer_of(model, NaNGuard(), lr=1e38).fit(loader(), epochs=9)
        assert np.isfinite(model.fc.weight.value).all()
        assert "first seen at step" in raised.value.__notes__[0]

    def test_a_healthy_training_is_the_same_with_it(self) -> None:
        plain, guarded = tiny_network(), tiny_network()
        trainer_of(plain).fit(loader(), epochs=2)
        trainer_of(guarded, NaNGuard()).fit(loader(), epochs=2)
        assert weights_digest(plain) == weights_digest(guarded)

    def test_at_the_last_batch_of_all_no_loss_is_needed_to_tell(self, tmp_path: Path) -> None:
        model = self.network()
        guard, checkpoint = NaNGuard(), Checkpoint(tmp_path, every_steps=1)
        trainer = trainer_of(model, ExplodesAt(model.odd, 2, "backward_nan"), guard, checkpoint)
        with pytest.raises(TrainingError, match="became NaN or infinite at the end of epoch 1") as raised:
            trainer.fit(loader(), epochs=1)
        assert "first seen at step 3: the gradient of odd" in raised.value.__notes__[0]
        assert np.isfinite(model.fc1.weight.value).all()
        assert [path.name for path in checkpoints_in(tmp_path)] == ["step-00000002", "step-00000001"]
