"""Progress, the CSV log and the best weights."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn import weights
from minicnn.data import Loader
from minicnn.errors import TrainingError
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD
from minicnn.train import BestWeights, Callback, CsvLog, EpochRecord, History, Progress, Trainer, callbacks
from tests.support.training import linear_network, tiny_data, tiny_network, weights_digest


def train(*callbacks: Any, epochs: int = 2, validation: bool = True, lr: float = 0.1) -> Trainer:
    model = tiny_network()
    trainer = Trainer(model, CrossEntropyLoss(), SGD(model, lr=lr), callbacks=callbacks)
    loader = Loader(tiny_data(24), 8, shuffle=True, rng=np.random.default_rng(0))
    trainer.fit(loader, tiny_data(9, seed=1) if validation else None, epochs=epochs)
    return trainer


def record(epoch: int, loss: float | None, accuracy: float | None) -> EpochRecord:
    return EpochRecord(epoch, 0.1, 1.0, 0.5, loss, accuracy, 1.0, 100.0)


class TestProgress:
    def test_where_there_is_no_terminal_one_line_an_epoch_is_printed(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trainer = train(Progress(), epochs=2)
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.splitlines()
        assert len(lines) == 2
        last = trainer.history[-1]
        for part in (
            "epoch   2/2",
            f"loss {last.train_loss:.3f}",
            f"accuracy {last.train_accuracy:.1%}",
            f"validation loss {last.validation_loss:.3f}",
            f"accuracy {last.validation_accuracy:.1%}",
            "images/s",
        ):
            assert part in lines[1]

    def test_without_validation_the_line_has_no_validation(self, capsys: pytest.CaptureFixture[str]) -> None:
        train(Progress(), epochs=1, validation=False)
        assert "validation" not in capsys.readouterr().err

    def test_a_loss_that_runs_away_stays_short(self, capsys: pytest.CaptureFixture[str]) -> None:
        trainer = SimpleNamespace(
            history=History([EpochRecord(1, 0.1, 4e31, 0.1, 1e12, 0.1, 1.0, 100.0)]), last_epoch=1
        )
        progress = Progress()
        progress.bar = SimpleNamespace(close=lambda: None)
        progress.after_epoch(trainer)  # type: ignore[arg-type]
        assert "loss 4e+31" in capsys.readouterr().err

    def test_in_a_notebook_without_widgets_only_the_lines_are_printed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As ordinary output: a notebook shows stderr as if something had gone wrong."""
        monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
        monkeypatch.setattr(callbacks, "find_spec", lambda name: None)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)  # as ipykernel's says
        train(Progress(), epochs=2)
        out, err = capsys.readouterr()
        assert err == ""
        assert [line[:11] for line in out.splitlines()] == ["epoch   1/2", "epoch   2/2"]

    def test_in_a_terminal_a_bar_shows_speed_loss_accuracy_and_time_left(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        class Slow(Callback):  # tqdm draws at most ten times a second
            def after_batch(self, trainer: Trainer) -> None:
                trainer.callbacks[0].bar.refresh()

        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        train(Progress(), Slow(), epochs=1)
        shown = terminal.getvalue()
        for part in ("epoch 1/1", "24/24", "images/s", "loss ", "accuracy ", "<00:00"):
            assert part in shown
        assert shown.splitlines()[-1].startswith("epoch   1/1")

    def test_the_bar_is_closed_when_training_fails(self) -> None:
        class Fails(Callback):
            def after_batch(self, trainer: Trainer) -> None:
                raise ZeroDivisionError

        progress = Progress()
        with pytest.raises(ZeroDivisionError):
            train(progress, Fails())
        assert progress.bar.disable  # what tqdm calls closed


class TestCsvLog:
    def test_the_file_holds_the_history(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.csv"
        trainer = train(CsvLog(path), epochs=3)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 3
        for row, entry in zip(rows, trainer.history):
            assert {name: float(value) for name, value in row.items()} == entry.to_dict()

    def test_the_header_names_the_columns(self, tmp_path: Path) -> None:
        train(CsvLog(tmp_path / "m.csv"), epochs=1)
        assert (tmp_path / "m.csv").read_text().splitlines()[0] == (
            "epoch,lr,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,images_per_second"
        )

    def test_a_missing_figure_is_an_empty_field(self, tmp_path: Path) -> None:
        train(CsvLog(tmp_path / "m.csv"), epochs=1, validation=False)
        fields = (tmp_path / "m.csv").read_text().splitlines()[1].split(",")
        assert fields[4] == fields[5] == ""

    def test_it_is_written_after_every_epoch(self, tmp_path: Path) -> None:
        lines: list[int] = []

        class Counts(Callback):
            def after_epoch(self, trainer: Trainer) -> None:
                lines.append(len((tmp_path / "m.csv").read_text().splitlines()))

        train(CsvLog(tmp_path / "m.csv"), Counts(), epochs=3)
        assert lines == [2, 3, 4]

    def test_nothing_else_is_left_in_the_folder(self, tmp_path: Path) -> None:
        train(CsvLog(tmp_path / "m.csv"))
        assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


class TestBestWeights:
    def feed(self, best: BestWeights, figures: list[tuple[float, float]]) -> list[str]:
        """Show it epochs with these (loss, accuracy); every epoch has weights of its own."""
        model = linear_network()
        trainer: Any = SimpleNamespace(weights_to_keep=model.state_dict, history=History())
        digests = []
        for epoch, (loss, accuracy) in enumerate(figures, start=1):
            model.fc.bias.value[...] = epoch
            digests.append(weights_digest(model))
            trainer.history.append(record(epoch, loss, accuracy))
            best.after_epoch(trainer)
        return digests

    @pytest.mark.parametrize(
        ("figures", "epoch"),
        [
            ([(1.0, 0.5), (0.9, 0.7), (0.2, 0.6)], 2),
            ([(0.5, 0.7), (0.4, 0.7), (0.6, 0.7)], 2),
            ([(0.5, 0.7), (0.5, 0.7)], 1),
            ([(0.5, 0.1)], 1),
            ([(math.nan, 0.1), (2.0, 0.1)], 2),
            ([(2.0, 0.1), (math.nan, 0.1)], 1),
            ([(2.0, 0.1), (math.inf, 0.1)], 1),
            ([(3.0, 0.0), (2.0, 0.0), (2.5, 0.0)], 2),
        ],
        ids=[
            "accuracy decides",
            "loss breaks ties",
            "the earlier of equals",
            "one epoch",
            "nan is worse",
            "nan does not win",
            "infinity does not win",
            "nothing right",
        ],
    )
    def test_the_best_epoch_is_kept(
        self, tmp_path: Path, figures: list[tuple[float, float]], epoch: int
    ) -> None:
        best = BestWeights(tmp_path / "best.safetensors")
        digests = self.feed(best, figures)
        assert best.epoch == epoch
        kept, read = linear_network(seed=1), linear_network(seed=2)
        best.restore(kept)
        weights.load(read, tmp_path / "best.safetensors")
        assert weights_digest(kept) == weights_digest(read) == digests[epoch - 1]

    def test_where_labels_are_no_classes_the_loss_decides(self) -> None:
        best = BestWeights()
        self.feed(best, [(3.0, None), (1.0, None), (2.0, None)])  # type: ignore[list-item]
        assert best.epoch == 2

    def test_the_file_says_which_epoch_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "best.safetensors"
        self.feed(BestWeights(path), [(1.0, 0.5), (0.9, 0.7), (0.2, 0.6)])
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        assert json.loads(content[8 : 8 + length])["__metadata__"]["epoch"] == "2"

    def test_in_training_they_give_the_recorded_figures_again(self) -> None:
        best = BestWeights()
        trainer = train(best, epochs=6, lr=1.0)
        assert best.epoch is not None
        kept = trainer.history[best.epoch - 1]
        assert kept.validation_accuracy == max(trainer.history.column("validation_accuracy"))
        for parameter in trainer.model.parameters():
            parameter.value[...] = 0
        best.restore(trainer.model)
        again = trainer.evaluate(tiny_data(9, seed=1))
        assert again.accuracy == kept.validation_accuracy
        assert again.loss == kept.validation_loss

    def test_it_needs_a_validation_set(self) -> None:
        with pytest.raises(TrainingError, match=r"BestWeights needs a validation set: fit\(training, val"):
            train(BestWeights(), validation=False)

    def test_nothing_can_be_restored_before_training(self) -> None:
        with pytest.raises(TrainingError, match="kept nothing yet: call fit first"):
            BestWeights().restore(tiny_network())
