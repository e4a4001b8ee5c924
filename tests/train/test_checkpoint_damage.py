"""Checkpoints that are damaged, of another training, or cannot be written: refused, and nothing is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.errors import CheckpointError
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import Adam
from minicnn.train import Trainer
from minicnn.train import checkpoint_files as files
from tests.support.checkpointing import InterruptAt, contents, everything, fit, make
from tests.support.training import linear_network, tiny_data, weights_digest


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
