"""A whole run by its settings: what it refuses, what it leaves, and that it can be repeated."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import weights
from minicnn.errors import ConfigError, DataError, RunError
from minicnn.models import build
from minicnn.schedules import CosineAnnealingLR, OneCycleLR, StepLR
from minicnn.train.recipe import OPTIMIZERS, SCHEDULES, Recipe, RunResult, make_optimizer, make_schedule, run
from minicnn.train.trainer import Trainer
from tests.support.training import linear_network, use_small_data


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"model": "lenet"}, "unknown model 'lenet': did you mean 'lenet5'?"),
            ({"optimizer": "adamm"}, "unknown optimizer 'adamm': did you mean 'adam'?"),
            ({"schedule": "onecycle"}, "unknown schedule 'onecycle': did you mean 'one-cycle'?"),
            ({"epochs": 0}, "epochs must be at least 1, got 0"),
            ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
            ({"seed": -1}, "seed must be at least 0, got -1"),
            ({"lr": 0.0}, "lr must be positive, got 0.0"),
            ({"lr": float("nan")}, "lr must be positive, got nan"),
            ({"lr": float("inf")}, "lr must be positive, got inf"),
            ({"weight_decay": -0.1}, "weight_decay must be 0 or more, got -0.1"),
            ({"validation": 0.0}, "validation is a share between 0 and 1, got 0.0"),
            ({"validation": 1.0}, "validation is a share between 0 and 1, got 1.0"),
        ],
    )
    def test_a_setting_that_makes_no_sense(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError) as raised:
            Recipe(**settings)
        assert message in str(raised.value)

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_every_optimizer_takes_rate_and_decay(self, name: str) -> None:
        optimizer = make_optimizer(Recipe(optimizer=name, lr=0.125, weight_decay=0.25), linear_network())
        assert type(optimizer).__name__.lower() == name
        assert optimizer.lr == 0.125
        assert optimizer.groups[0]["weight_decay"] == 0.25

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_without_a_rate_every_optimizer_has_its_own(self, name: str) -> None:
        assert make_optimizer(Recipe(optimizer=name), linear_network()).lr == OPTIMIZERS[name][1] > 0

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize(
        ("name", "kind", "by"),
        [
            ("one-cycle", OneCycleLR, "batch"),
            ("cosine", CosineAnnealingLR, "batch"),
            ("step", StepLR, "epoch"),
        ],
    )
    def test_every_schedule_goes_with_every_optimizer(
        self, optimizer: str, name: str, kind: type, by: str
    ) -> None:
        recipe = Recipe(optimizer=optimizer, schedule=name, epochs=6, lr=0.5)
        made = make_schedule(recipe, make_optimizer(recipe, linear_network()), steps=60)
        assert isinstance(made, kind)
        assert made.steps_by == by

    def test_constant_is_no_schedule(self) -> None:
        recipe = Recipe(schedule="constant")
        assert make_schedule(recipe, make_optimizer(recipe, linear_network()), steps=60) is None
        assert set(SCHEDULES) == {"one-cycle", "cosine", "step", "constant"}


SHORT = Recipe(epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunResult]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_small_data(monkeypatch, train=200, test=40)
        yield run(SHORT, out=tmp_path_factory.mktemp("recipe") / "run", quiet=True)


@pytest.fixture
def folder(result: RunResult) -> Path:
    return result.folder.path


class TestFolder:
    """What one run has left."""

    def test_the_folder_holds_what_is_promised(self, folder: Path) -> None:
        assert sorted(path.name for path in folder.iterdir()) == [
            ".lock",
            "best.safetensors",
            "checkpoints",
            "config.json",
            "confusion_matrix.png",
            "learning_curves.png",
            "metrics.csv",
            "metrics.jsonl",
            "predictions.png",
            "report.html",
            "results.json",
        ]

    def test_the_settings_are_kept(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        assert Recipe(**config["recipe"]) == SHORT
        assert config["model"] == {"name": "lenet5", "options": {"num_classes": 10, "in_channels": 1}}
        assert config["preprocessing"]["image_size"] == [28, 28]
        assert len(config["class_names"]) == 10
        assert config["versions"]["minicnn"] == minicnn.__version__

    def test_the_metrics_are_one_line_an_epoch(self, folder: Path) -> None:
        with (folder / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        assert all(0 <= float(row["validation_accuracy"]) <= 1 for row in rows)

    def test_the_results_are_kept(self, folder: Path, result: RunResult) -> None:
        results = json.loads((folder / "results.json").read_text())
        assert results["test_accuracy"] == result.test.accuracy
        assert results["test_loss"] == result.test.loss
        assert results["test_images"] == 40
        assert results["best_epoch"] == result.best_epoch
        assert results["training_seconds"] > 0

    @pytest.mark.parametrize("name", ["learning_curves", "confusion_matrix", "predictions"])
    def test_the_figures_are_pictures(self, folder: Path, name: str) -> None:
        with Image.open(folder / f"{name}.png") as picture:
            assert min(picture.size) > 300
            assert np.ptp(np.asarray(picture.convert("L"))) > 100


@pytest.mark.usefixtures("small_data", "blank_figures")
class TestRun:
    def test_the_same_settings_give_the_same_weights_bit_for_bit(self, folder: Path, tmp_path: Path) -> None:
        again = run(SHORT, out=tmp_path / "again", quiet=True).folder
        assert again.weights_file.read_bytes() == (folder / "best.safetensors").read_bytes()

    def test_the_weights_that_are_kept_are_those_that_are_tested(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And not those that the network has after its last epoch: here, zeros."""
        fit = Trainer.fit

        def fit_and_forget(trainer: Trainer, *args: Any, **options: Any) -> None:
            fit(trainer, *args, **options)
            for parameter in trainer.model.parameters():
                parameter.value[...] = 0

        monkeypatch.setattr(Trainer, "fit", fit_and_forget)
        result = run(Recipe(epochs=1), out=tmp_path / "run", quiet=True)
        model = build("lenet5")
        weights.load(model, result.folder.weights_file)
        x, labels = minicnn.data.load("fashion-mnist-mini").test[:]
        np.testing.assert_allclose(result.test.outputs, model.eval()(x), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(result.test.labels, labels)

    def test_another_seed_gives_others(self, folder: Path, tmp_path: Path) -> None:
        other = run(Recipe(epochs=1, batch_size=64, seed=1), out=tmp_path / "other", quiet=True).folder
        assert other.weights_file.read_bytes() != (folder / "best.safetensors").read_bytes()

    def test_quiet_prints_nothing_and_otherwise_progress_goes_to_stderr(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(Recipe(epochs=1, batch_size=256), out=tmp_path / "quiet", quiet=True)
        assert capsys.readouterr() == ("", "")
        run(Recipe(epochs=1, batch_size=256), out=tmp_path / "loud")
        out, err = capsys.readouterr()
        assert out == ""
        assert "lenet5 (61,706 parameters) on fashion-mnist-mini: 180 training, 20 validation, 40 test" in err
        assert "epoch   1/1" in err

    def test_another_run_is_left_alone(self, folder: Path) -> None:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(RunError, match="holds another run"):
            run(SHORT, out=folder, quiet=True)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    def test_convnet3_takes_the_grey_images_padded_and_repeated(self, tmp_path: Path) -> None:
        recipe = Recipe(model="convnet3", epochs=1, batch_size=256)
        config = run(recipe, out=tmp_path / "run", quiet=True).folder.read_config()
        assert config["model"]["options"]["in_channels"] == config["preprocessing"]["channels"] == 3
        assert config["preprocessing"]["padding"] == 2

    @pytest.mark.parametrize("schedule", SCHEDULES)
    def test_a_single_step_is_enough_for_every_schedule(self, tmp_path: Path, schedule: str) -> None:
        recipe = Recipe(epochs=1, batch_size=10_000, schedule=schedule)
        assert run(recipe, out=tmp_path / "run", quiet=True).best_epoch == 1

    def test_stopped_by_the_user_it_says_what_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fit_batch = Trainer._fit_batch

        def interrupted(trainer: Trainer, *batch: Any) -> None:
            if trainer.epoch == 2:
                raise KeyboardInterrupt
            fit_batch(trainer, *batch)

        monkeypatch.setattr(Trainer, "_fit_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(Recipe(epochs=3, batch_size=256), out=tmp_path / "run", quiet=True)
        assert "run keeps the weights of epoch 1" in capsys.readouterr().err
        weights.load(build("lenet5"), tmp_path / "run" / "best.safetensors")


def test_unknown_data_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown data set 'fashion': did you mean 'fashion-mnist'"):
        run(Recipe(data="fashion"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
