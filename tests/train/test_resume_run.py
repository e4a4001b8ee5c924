"""Run folders that were stopped: by signals, by SIGKILL, by another process that wants in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.soak_resume import soak
from minicnn.errors import CheckpointError, DataError, RunError
from minicnn.train import Trainer
from minicnn.train.checkpoint_files import checkpoints_in
from minicnn.train.lock import locked
from minicnn.train.recipe import Recipe, resume, run
from minicnn.train.trainer import Trainer as TrainerClass
from tests.support.training import ROOT, python

SHORT = Recipe(epochs=2, batch_size=64, ema=0.9, clip_norm=1.0, early_stopping=9)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_killed_with_sigkill_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Two real kills; benchmarks/soak_resume.py makes a hundred."""
    assert soak(tmp_path, kills=2, epochs=1, seed=1)["kills"] == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_killed_more_often(tmp_path: Path) -> None:
    assert soak(tmp_path, kills=8, epochs=2, seed=2)["kills"] == 8


def interrupted_at(step: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    """Send this process a signal in the middle of a batch."""
    fit_batch = TrainerClass._fit_batch

    def fit_and_signal(trainer: Trainer, *batch: Any) -> None:
        if trainer.step == step:
            os.kill(os.getpid(), number)
        fit_batch(trainer, *batch)

    monkeypatch.setattr(TrainerClass, "_fit_batch", fit_and_signal)


@pytest.mark.usefixtures("small_data", "blank_figures")
class TestResume:
    @pytest.mark.parametrize(
        ("number", "ending"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
    )
    def test_a_signal_saves_and_stops_and_resume_ends_with_the_same_bytes(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        ending: type[BaseException],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        unbroken = run(SHORT, out=tmp_path / "unbroken", quiet=True, figures=False).folder
        handler = signal.getsignal(number)
        with monkeypatch.context() as sends:
            interrupted_at(4, sends, number)
            with pytest.raises(ending):
                run(SHORT, out=tmp_path / "run", quiet=True, figures=False)
        assert signal.getsignal(number) is handler
        assert "go on with it: minicnn train --resume" in capsys.readouterr().err
        assert checkpoints_in(tmp_path / "run" / "checkpoints")[0].name == "step-00000005"
        resumed = resume(tmp_path / "run", quiet=True, figures=False).folder
        assert resumed.weights_file.read_bytes() == unbroken.weights_file.read_bytes()
        results = [json.loads(folder.results_file.read_text()) for folder in (resumed, unbroken)]
        for each in results:
            del each["training_seconds"]
        assert results[0] == results[1]

    @pytest.mark.parametrize(
        "settings",
        [
            {"balance": "oversample", "augment": "flip,crop:2"},
            {"balance": "weights", "augment": "mixup"},
        ],
    )
    def test_how_the_data_were_drawn_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
    ) -> None:
        recipe = Recipe(epochs=2, batch_size=64, **settings)  # type: ignore[arg-type]
        unbroken = run(recipe, out=tmp_path / "unbroken", quiet=True, figures=False).folder
        with monkeypatch.context() as sends:
            interrupted_at(3, sends)
            with pytest.raises(KeyboardInterrupt):
                run(recipe, out=tmp_path / "run", quiet=True, figures=False)
        resumed = resume(tmp_path / "run", quiet=True, figures=False).folder
        assert resumed.weights_file.read_bytes() == unbroken.weights_file.read_bytes()
        assert resumed.read_config()["recipe"]["balance"] == settings["balance"]

    def test_killed_before_the_first_checkpoint_it_begins_anew(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unbroken = run(SHORT, out=tmp_path / "unbroken", quiet=True, figures=False).folder

        def killed(*args: Any, **options: Any) -> None:
            raise MemoryError

        with monkeypatch.context() as kills:
            kills.setattr(TrainerClass, "_fit_batch", killed)
            with pytest.raises(MemoryError):
                run(SHORT, out=tmp_path / "run", quiet=True, figures=False)
        resumed = resume(tmp_path / "run", quiet=True, figures=False).folder
        assert resumed.weights_file.read_bytes() == unbroken.weights_file.read_bytes()

    def test_a_finished_run_is_only_tested_again(self, tmp_path: Path) -> None:
        first = run(SHORT, out=tmp_path / "run", quiet=True, figures=False)
        before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
        again = resume(tmp_path / "run", quiet=True, figures=False)
        np.testing.assert_array_equal(again.test.outputs, first.test.outputs)
        after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
        changed = {p.name for p in before if before[p] != after.get(p)}
        assert changed <= {"metrics.jsonl", ".lock"}

    def test_other_data_are_refused(self, tmp_path: Path) -> None:
        run(SHORT, out=tmp_path / "run", quiet=True, figures=False)
        config = json.loads((tmp_path / "run" / "config.json").read_text())
        config["data_sha256"] = "0" * 64
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        with pytest.raises(DataError, match=r"is not what it was when .* began \(data_sha256 differs\)"):
            resume(tmp_path / "run", quiet=True)

    def test_settings_that_were_edited_are_refused(self, tmp_path: Path) -> None:
        run(SHORT, out=tmp_path / "run", quiet=True, figures=False)
        config = json.loads((tmp_path / "run" / "config.json").read_text())
        config["recipe"]["lr"] = 0.5
        (tmp_path / "run" / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match=r"another training: it has lr None instead of 0.5"):
            resume(tmp_path / "run", quiet=True)

    def test_what_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="there is no run folder"):
            resume(tmp_path / "nowhere")


class TestLock:
    def test_a_second_process_is_kept_out_and_told_by_whom(self, tmp_path: Path) -> None:
        code = f"from pathlib import Path; from minicnn.train.lock import locked\nwith locked(Path({str(tmp_path)!r})): pass"
        with locked(tmp_path):
            done = python(code)
            assert done.returncode == 1
            assert f"is in use by process {os.getpid()}: wait until it is done" in done.stderr
        assert python(code).returncode == 0

    @pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
    def test_a_killed_process_lets_go(self, tmp_path: Path) -> None:
        code = (
            "import time; from pathlib import Path; from minicnn.train.lock import locked\n"
            f"with locked(Path({str(tmp_path)!r})): print('in', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        with pytest.raises(RunError, match=f"in use by process {process.pid}"), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        with locked(tmp_path):
            pass

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuses(*args: Any, **options: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuses)
        with pytest.raises(RunError, match=r"cannot write in .*: Permission denied"), locked(tmp_path):
            pass
