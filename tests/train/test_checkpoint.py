"""Checkpoints: training goes on with the same bits, and what is on disk is whole or refused."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data import Loader
from minicnn.errors import CheckpointError, ConfigError
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD, Adagrad, Adam, Optimizer, RMSprop
from minicnn.schedules import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau
from minicnn.train import BestWeights, Callback, Checkpoint, Trainer
from minicnn.train import checkpoint_files as files
from minicnn.train.state import from_json, to_json
from tests.support.training import linear_network, tiny_data, tiny_network, weights_digest

EPOCHS, BATCHES = 3, 4
OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda model: SGD(model, lr=0.1),
    "momentum": lambda model: SGD(model, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adam": Adam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "none": lambda optimizer: None,
    "one-cycle": lambda optimizer: OneCycleLR(
        optimizer, max_lr=0.1, total_steps=EPOCHS * BATCHES, cycle_momentum=False
    ),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, T_max=EPOCHS),
}


class InterruptAt(Callback):
    """Interrupts after so many batches."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_batch(self, trainer: Trainer) -> None:
        trainer.interrupt = trainer.step == self.step


def make(
    folder: Path | None,
    *more: Callback,
    optimizer: str = "adam",
    schedule: str = "none",
    seed: int = 0,
    **every: Any,
) -> tuple[Trainer, Loader]:
    """A training with everything that draws, and its loader; the seed decides how it begins."""
    model = tiny_network(seed)
    opt = OPTIMIZERS[optimizer](model)
    callbacks: list[Callback] = [BestWeights(), *more]
    if folder is not None:
        callbacks.append(Checkpoint(folder, **every))
    trainer = Trainer(model, CrossEntropyLoss(), opt, SCHEDULES[schedule](opt), callbacks)
    return trainer, Loader(tiny_data(31), 8, shuffle=True, rng=np.random.default_rng(seed))


def fit(made: tuple[Trainer, Loader], **options: Any) -> Trainer:
    trainer, loader = made
    trainer.fit(loader, tiny_data(9, seed=5), epochs=EPOCHS, **options)
    return trainer


def everything(trainer: Trainer) -> dict[str, Any]:
    """All that must be the same, clocks left out."""
    history = [record.to_dict() for record in trainer.history]
    for record in history:
        del record["seconds"], record["images_per_second"]
    best = trainer.callbacks[0]
    assert isinstance(best, BestWeights)
    arrays = trainer.optimizer.state_dict()["arrays"]
    return {
        "weights": weights_digest(trainer.model),
        "optimizer": {name: array.tobytes() for name, array in arrays.items()},
        "history": repr(history),
        "best": (best.epoch, {name: array.tobytes() for name, array in best.state_dict()["arrays"].items()}),
        "step": trainer.step,
    }


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


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder with two checkpoints, at steps 3 and 5, of a training of 12 steps."""
    fit(make(tmp_path, InterruptAt(3)))
    fit(make(tmp_path, InterruptAt(5), every_epochs=None), resume=tmp_path)
    assert [path.name for path in files.checkpoints_in(tmp_path)] == ["step-00000005", "step-00000003"]
    return tmp_path


class TestDamage:
    """Cut short or changed, the newest is set aside and the one before it used, and both is said."""

    def damaged_at(self, path: Path, share: float, how: str) -> None:
        content = bytearray(path.read_bytes())
        place = min(int(share * len(content)), len(content) - 1)
        if how == "cut":
            del content[place:]
        else:
            content[place] ^= 1 << (place % 8)
        path.write_bytes(content)

    NAMES = ("model.safetensors", "training.safetensors", "state.json", "run.json", "manifest.json")

    @given(name=st.sampled_from(NAMES), share=st.floats(0, 1), how=st.sampled_from(["cut", "flip"]))
    @settings(max_examples=60)
    def test_any_byte_is_noticed(
        self, tmp_path_factory: pytest.TempPathFactory, name: str, share: float, how: str
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "whole" / "step-00000003"
        if not path.exists():
            fit(make(path.parent, InterruptAt(3)))
        original = (path / name).read_bytes()
        try:
            self.damaged_at(path / name, share, how)
            with pytest.raises(files.DamagedCheckpoint, match="is damaged"):
                files.read_checkpoint(path)
        finally:
            (path / name).write_bytes(original)
        assert set(files.read_checkpoint(path)) == {*self.NAMES} - {"manifest.json"}

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("how", ["cut", "flip", "gone"])
    def test_the_one_before_is_used_and_the_end_is_the_same(
        self, two: Path, name: str, how: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        newest = two / "step-00000005"
        if how == "gone":
            (newest / name).unlink()
        else:
            self.damaged_at(newest / name, 0.7, how)
        damaged = contents(newest)
        resumed = fit(make(two, seed=3), resume=two)
        said = capsys.readouterr().err
        assert "step-00000005 is damaged" in said
        assert "set aside as step-00000005.aside-1" in said
        assert "going on from the checkpoint before, step-00000003" in said
        aside = contents(two / "step-00000005.aside-1")
        assert {path.name: content for path, content in aside.items()} == {
            p.name: c for p, c in damaged.items()
        }
        assert everything(resumed) == everything(fit(make(None)))

    def test_all_damaged_is_an_error_and_nothing_is_changed(self, two: Path) -> None:
        for path in files.checkpoints_in(two):
            self.damaged_at(path / "state.json", 0.5, "flip")
        before = contents(two)
        with pytest.raises(CheckpointError, match=r"none of the 2 checkpoints in .* is whole: .*begin anew"):
            fit(make(two), resume=two)
        assert contents(two) == before

    def test_a_newer_format_is_refused_though_an_older_checkpoint_is_there(
        self, two: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        newest = two / "step-00000005"
        parts = {path.name: path.read_bytes() for path in newest.iterdir() if path.name != files.MANIFEST}
        with monkeypatch.context() as newer:
            newer.setattr(files, "FORMAT", files.FORMAT + 1)
            (newest / files.MANIFEST).write_bytes(files.make_manifest(parts))
        before = contents(two)
        with pytest.raises(
            CheckpointError, match=r"written by a newer minicnn \(format 2, this one reads 1\)"
        ):
            fit(make(two), resume=two)
        assert contents(two) == before


class TestAnotherTraining:
    def test_another_models_checkpoint(self, two: Path) -> None:
        model = linear_network()
        trainer = Trainer(model, CrossEntropyLoss(), Adam(model))
        digest, before = weights_digest(model), contents(two)
        with pytest.raises(CheckpointError, match=r"not one of this training: the state dict does not fit"):
            trainer.fit(tiny_data(), epochs=1, resume=two)
        assert weights_digest(model) == digest
        assert contents(two) == before

    @pytest.mark.parametrize("other", [{"optimizer": "momentum"}, {"schedule": "cosine"}])
    def test_another_optimizer_or_schedule(self, two: Path, other: dict[str, str]) -> None:
        trainer, loader = make(two, seed=4, **other)
        digest = weights_digest(trainer.model)
        with pytest.raises(CheckpointError, match="not one of this training"):
            fit((trainer, loader), resume=two)
        assert weights_digest(trainer.model) == digest

    def test_other_settings(self, tmp_path: Path) -> None:
        fit(make(tmp_path, InterruptAt(3), identity={"lr": 0.1, "seed": 1}))
        with pytest.raises(CheckpointError, match=r"of another training: it has seed 1 instead of 2"):
            fit(make(tmp_path, identity={"lr": 0.1, "seed": 2}), resume=tmp_path)


class TestDisk:
    """The disk is full, or refuses, at any of the calls that writing takes."""

    @pytest.mark.parametrize(
        ("call", "number"),
        [("mkdir", 1), ("write", 1), ("write", 4), ("fsync", 2), ("fsync", 7), ("rename", 1)],
    )
    def test_the_older_checkpoints_are_untouched(
        self, two: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
    ) -> None:
        before = contents(two)
        with monkeypatch.context() as broken:
            break_call(broken, call, number, two)
            with pytest.raises(
                CheckpointError, match=r"cannot write the checkpoint .*No space left on device"
            ) as e:
                fit(make(two, every_steps=1), resume=two)
        assert "is untouched. Make room" in str(e.value)
        left = contents(two)
        assert {path: left.get(path) for path in before} == before or number > 1
        for path in files.checkpoints_in(two):
            files.read_checkpoint(path)
        assert not list(two.glob(".step-*.part"))
        assert everything(fit(make(two, seed=7), resume=two)) == everything(fit(make(None)))

    def test_the_first_checkpoint_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*there is no older one"):
            fit(make(tmp_path / "file" / "checkpoints"))

    def test_what_has_the_name_already_is_kept(self, tmp_path: Path) -> None:
        files.write_checkpoint(tmp_path / "step-00000001", {"a": b"old"})
        files.write_checkpoint(tmp_path / "step-00000001", {"a": b"new"})
        assert files.read_checkpoint(tmp_path / "step-00000001") == {"a": b"new"}
        assert files.read_checkpoint(tmp_path / "step-00000001.aside-1") == {"a": b"old"}

    def test_what_a_killed_process_left_is_cleaned_up(self, two: Path) -> None:
        (two / ".step-00000006.part").mkdir()
        (two / ".step-00000006.part" / "model.safetensors").write_bytes(b"half")
        (two / ".step-00000002.old").mkdir()
        fit(make(two), resume=two)
        assert not list(two.glob(".*"))


def break_call(monkeypatch: pytest.MonkeyPatch, call: str, number: int, folder: Path) -> None:
    """Let the number-th call of a kind, of those below the folder, fail as on a full disk, and all after it."""
    count = 0

    def fails() -> None:
        nonlocal count
        count += 1
        if count >= number:
            raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        original_open = Path.open

        def open_(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
            if "w" in mode and folder in self.parents:
                fails()
            return original_open(self, mode, *args, **options)

        monkeypatch.setattr(Path, "open", open_)
        return
    owner, name = (Path, "mkdir") if call == "mkdir" else (os, call)
    original = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        fails()
        return original(*args, **options)

    monkeypatch.setattr(owner, name, wrapped)


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
