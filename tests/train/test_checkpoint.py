"""Checkpoints: training goes on with the same bits, and the right ones are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data import Loader
from minicnn.errors import CheckpointError, ConfigError
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD, Adam
from minicnn.train import Callback, Checkpoint, Trainer
from minicnn.train import checkpoint_files as files
from minicnn.train.state import from_json, to_json
from tests.support.checkpointing import (
    BATCHES,
    EPOCHS,
    OPTIMIZERS,
    SCHEDULES,
    InterruptAt,
    contents,
    everything,
    fit,
    make,
)
from tests.support.training import linear_network, tiny_data, tiny_network, weights_digest


class TestResume:
    @settings(max_examples=12)
    @given(
        stops=st.sets(st.integers(1, EPOCHS * BATCHES), min_size=1, max_size=4),
        optimizer=st.sampled_from(sorted(OPTIMIZERS)),
        schedule=st.sampled_from(sorted(SCHEDULES)),
    )
    def test_wherever_it_stops_it_ends_with_the_same_bits(
        self, tmp_path_factory: pytest.TempPathFactory, stops: set[int], optimizer: str, schedule: str
    ) -> None:
        kind = {"optimizer": optimizer, "schedule": schedule}
        unbroken = fit(make(None, **kind))
        folder = tmp_path_factory.mktemp("resume")
        for place, stop in enumerate(sorted(stops)):
            # Another seed: what is not in the checkpoint would show.
            stopped = fit(make(folder, InterruptAt(stop), seed=place and 100 + place, **kind), resume=folder)
            assert stopped.step == stop
        resumed = fit(make(folder, seed=999, **kind), resume=folder)
        assert everything(resumed) == everything(unbroken)

    def test_it_goes_on_in_the_same_process_too(self) -> None:
        trainer, loader = make(None, InterruptAt(6))
        fit((trainer, loader))
        assert (trainer.epoch, trainer.step, trainer.mid_epoch, len(trainer.history)) == (2, 6, True, 1)
        trainer.callbacks.pop()
        assert everything(fit((trainer, loader))) == everything(fit(make(None)))

    def test_a_list_of_batches_is_gone_on_with(self, tmp_path: Path) -> None:
        batches = list(Loader(tiny_data(24), 8))

        def train(*callbacks: Callback, **options: Any) -> str:
            model = tiny_network()
            Trainer(model, CrossEntropyLoss(), Adam(model), callbacks=callbacks).fit(
                batches, epochs=3, **options
            )
            return weights_digest(model)

        train(Checkpoint(tmp_path), InterruptAt(4))
        assert train(Checkpoint(tmp_path), resume=tmp_path) == train()

    def test_an_iterable_that_cannot_be_gone_on_with_is_refused(self, tmp_path: Path) -> None:
        class Shuffles:
            def __iter__(self) -> Any:
                return iter(Loader(tiny_data(24), 8, shuffle=True))

        def trainer(*callbacks: Callback) -> Trainer:
            model = linear_network()
            return Trainer(
                model, CrossEntropyLoss(), SGD(model), callbacks=[*callbacks, Checkpoint(tmp_path)]
            )

        trainer(InterruptAt(2)).fit(Shuffles(), epochs=1)
        with pytest.raises(
            ConfigError, match=r"stopped after 2 batches of an epoch, and Shuffles cannot tell"
        ):
            trainer().fit(Shuffles(), epochs=1, resume=tmp_path)

    def test_without_checkpoints_it_begins_anew(self, tmp_path: Path) -> None:
        assert everything(fit(make(tmp_path), resume=tmp_path)) == everything(fit(make(None)))

    def test_more_epochs_than_at_first(self, tmp_path: Path) -> None:
        fit(make(tmp_path))
        trainer, loader = make(tmp_path)
        trainer.fit(loader, tiny_data(9, seed=5), epochs=EPOCHS + 2, resume=tmp_path)
        assert [record.epoch for record in trainer.history] == [1, 2, 3, 4, 5]

    def test_a_training_that_stopped_itself_stays_stopped(self, tmp_path: Path) -> None:
        class StopsAtOnce(Callback):
            def after_epoch(self, trainer: Trainer) -> None:
                trainer.stop = True

        fit(make(tmp_path, StopsAtOnce()))
        assert len(fit(make(tmp_path), resume=tmp_path).history) == 1

    def test_frozen_parameters_stay_frozen(self, tmp_path: Path) -> None:
        trainer, loader = make(tmp_path, InterruptAt(2))
        trainer.model.conv.freeze()  # type: ignore[attr-defined]
        fit((trainer, loader))
        resumed = fit(make(tmp_path), resume=tmp_path)
        frozen = {name for name, parameter in resumed.model.named_parameters() if parameter.frozen}
        assert frozen == {"conv.weight", "conv.bias"}


class TestWhatIsKept:
    def test_the_last_ones_and_the_best(self, tmp_path: Path) -> None:
        trainer = fit(make(tmp_path, keep=1, every_steps=1))
        best = max(trainer.history, key=lambda r: (r.validation_accuracy, -(r.validation_loss or 0)))
        kept = {path.name for path in files.checkpoints_in(tmp_path)}
        assert kept == {
            files.name_of(EPOCHS * BATCHES, True),
            files.name_of(best.epoch * BATCHES, True),
        }

    def test_within_an_epoch_by_steps_and_by_seconds(self, tmp_path: Path) -> None:
        fit(make(tmp_path / "steps", every_steps=2, every_epochs=None, keep=99))
        steps = [path.name for path in files.checkpoints_in(tmp_path / "steps")]
        assert steps == [files.name_of(step, False) for step in (12, 10, 8, 6, 4, 2)]
        fit(make(tmp_path / "seconds", every_seconds=0.0, every_epochs=None, keep=99))
        assert len(files.checkpoints_in(tmp_path / "seconds")) == 12

    def test_another_trainings_checkpoints_are_left_alone(self, tmp_path: Path) -> None:
        fit(make(tmp_path))
        before = contents(tmp_path)
        with pytest.raises(CheckpointError, match=r"holds checkpoints of another training.*another folder"):
            fit(make(tmp_path))
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("name", ["every_epochs", "every_steps", "keep"])
    def test_numbers_that_make_no_sense(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"Checkpoint: {name} must be 1 or more, got 0"):
            Checkpoint("x", **{name: 0})


@settings(max_examples=15)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_json_keeps_every_float(content: Any) -> None:
    text = to_json(content)
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert repr(from_json(text)) == repr(content)
