"""`minicnn train`: what reaches the run, what is printed, what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.said import Said, assert_one_line
from tests.support.training import use_blank_figures, use_small_data


class TestTrain:
    SHORT = ("--epochs", 1, "--batch-size", 64)

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        use_small_data(monkeypatch, train=200, test=40)
        use_blank_figures(monkeypatch)

    def test_it_prints_the_accuracy_and_where_to_look(
        self, minicnn: Callable[..., Said], tmp_path: Path
    ) -> None:
        said = minicnn("train", *self.SHORT, "--out", "mine", "--quiet")
        assert said.status == 0
        # On a machine whose kernels are not compiled yet, one line says that they are being compiled.
        assert [line for line in said.err.splitlines() if "compiling kernels" not in line] == []
        first, second = said.out.splitlines()
        accuracy = re.fullmatch(r"test accuracy: (\d+\.\d)%", first)
        assert accuracy
        results = json.loads((tmp_path / "mine" / "results.json").read_text())
        assert float(accuracy[1]) == pytest.approx(100 * results["test_accuracy"], abs=0.05)
        assert "in mine" in second
        assert "predictions.png" in second

    def test_progress_goes_to_stderr_and_the_folder_is_under_runs(
        self, minicnn: Callable[..., Said], tmp_path: Path
    ) -> None:
        said = minicnn("train", *self.SHORT)
        assert said.status == 0
        assert "epoch   1/1" in said.err
        assert len(said.out.splitlines()) == 2
        (folder,) = (tmp_path / "runs").iterdir()
        assert str(Path("runs") / folder.name) in said.out

    def test_every_option_reaches_the_run(self, minicnn: Callable[..., Said], tmp_path: Path) -> None:
        options = {
            "model": "lenet5",
            "data": "fashion-mnist-mini",
            "epochs": 2,
            "batch_size": 50,
            "lr": 0.03,
            "optimizer": "sgd",
            "schedule": "step",
            "weight_decay": 0.001,
            "seed": 7,
        }
        arguments = [
            part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value)
        ]
        assert minicnn("train", *arguments, "--out", "mine", "--quiet").status == 0
        recipe = json.loads((tmp_path / "mine" / "config.json").read_text())["recipe"]
        assert {name: recipe[name] for name in options} == options

    def test_another_run_is_left_alone(self, minicnn: Callable[..., Said], trained: Path) -> None:
        before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
        said = minicnn("train", *self.SHORT, "--out", trained)
        assert_one_line(said, "holds another run: choose another --out")
        assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (("--model", "lenet"), "unknown model 'lenet': did you mean 'lenet5'?"),
            (("--data", "fashion_mnist"), "unknown data set 'fashion_mnist': did you mean 'fashion-mnist'?"),
            (("--optimizer", "Adams"), "unknown optimizer 'Adams': did you mean 'adam'?"),
            (("--schedule", "cos"), "unknown schedule 'cos': did you mean 'cosine'?"),
            (("--epochs", 0), "epochs must be at least 1, got 0"),
            (("--lr", -1), "lr must be positive, got -1.0"),
        ],
        ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
    )
    def test_a_mistake_is_answered_before_anything_is_made(
        self, minicnn: Callable[..., Said], tmp_path: Path, arguments: tuple[object, ...], answer: str
    ) -> None:
        assert_one_line(minicnn("train", "--out", "mine", *arguments), answer)
        assert list(tmp_path.iterdir()) == []

    def test_training_that_diverges_says_where_and_keeps_the_last_good_weights(
        self, minicnn: Callable[..., Said]
    ) -> None:
        said = minicnn("train", *self.SHORT, "--epochs", 3, "--optimizer", "sgd", "--lr", 1e30, "--quiet")
        assert (said.status, said.out) == (1, "")
        error, where, kept = said.err.splitlines()
        assert "training has diverged" in error
        assert "Lower the learning rate" in error
        assert "first seen at step" in where
        assert "last_good.safetensors" in kept
