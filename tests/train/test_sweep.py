"""The search: what it draws, what it refuses, and that it goes on where it stopped."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from minicnn.errors import ConfigError, RunError, TrainingError
from minicnn.train import Trainer
from minicnn.train import recipe as recipes
from minicnn.train import sweep as sweeps
from minicnn.train.sweep import Plan, Range, parse_space, resume_sweep, run_sweep


class TestSpace:
    def test_ranges_and_lists(self) -> None:
        space = parse_space({"lr": "1e-4:1e-1", "batch_size": "32, 64", "optimizer": "adam,sgd"})
        assert space == {"lr": Range(1e-4, 1e-1), "batch_size": [32, 64], "optimizer": ["adam", "sgd"]}

    @pytest.mark.parametrize("text", ["1e-1:1e-4", "0:1", "a:b", "1:2:3", "x", ""])
    def test_what_makes_no_sense(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r'lr: expected a range "low:high"'):
            parse_space({"lr": text})

    def test_rates_are_drawn_evenly_on_a_log_scale(self) -> None:
        settings = Plan({"lr": Range(1e-4, 1e-1)}, {}, trials=600).settings()
        shares = [sum(10.0**-k <= s["lr"] < 10.0 ** (1 - k) for s in settings) / 600 for k in (4, 3, 2)]
        assert all(abs(share - 1 / 3) < 0.06 for share in shares)
        assert Plan({"lr": Range(1e-4, 1e-1)}, {}, trials=600).settings() == settings
        assert Plan({"lr": Range(1e-4, 1e-1)}, {}, trials=600, seed=1).settings() != settings

    def test_lists_alone_are_tried_in_every_combination(self) -> None:
        settings = Plan({"lr": [0.1, 0.2], "optimizer": ["adam", "sgd"]}, {}, trials=1).settings()
        assert [(s["lr"], s["optimizer"]) for s in settings] == [
            (0.1, "adam"),
            (0.1, "sgd"),
            (0.2, "adam"),
            (0.2, "sgd"),
        ]

    def test_bad_plans_are_refused_before_anything_is_trained(self) -> None:
        with pytest.raises(ConfigError, match="no setting 'rate'"):
            Plan({"rate": [1]}, {})
        with pytest.raises(ConfigError, match="unknown optimizer 'adamm'"):
            Plan({"optimizer": ["adam", "adamm"]}, {})
        with pytest.raises(ConfigError, match="trials and repeats must be 1 or more"):
            Plan({}, {}, repeats=0)


@pytest.mark.usefixtures("small_data")
class TestSweep:
    PLAN = Plan({"lr": [0.01, 1e-6]}, {"epochs": 1, "batch_size": 64}, repeats=2)

    def test_the_better_setting_is_first_and_a_stopped_sweep_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trained: list[str] = []
        run = recipes.run

        def counting(recipe: Any, *, out: Path, **options: Any) -> Any:
            if len(trained) == 3:
                raise KeyboardInterrupt
            trained.append(out.name)
            return run(recipe, out=out, **options)

        monkeypatch.setattr(sweeps, "run", counting)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(self.PLAN, out=tmp_path / "s")
        monkeypatch.setattr(
            sweeps, "run", lambda recipe, **o: (trained.append(o["out"].name), run(recipe, **o))
        )
        result = resume_sweep(tmp_path / "s")
        assert trained == ["trial-000-seed-0", "trial-000-seed-1", "trial-001-seed-0", "trial-001-seed-1"]
        assert [trial.settings["lr"] for trial in result.trials] == [0.01, 1e-6]
        assert result.trials[0].mean > result.trials[1].mean
        with (tmp_path / "s" / "results.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["lr"] for row in rows] == ["0.01", "1e-06"]
        assert (tmp_path / "s" / "results.png").exists()
        assert "best: lr 0.01" in str(result)
        assert str(resume_sweep(tmp_path / "s")) == str(result)
        assert len(trained) == 4

    def test_a_sweep_that_is_stopped_says_how_to_go_on_with_all_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(trainer: Trainer, *args: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as stopped:
            stopped.setattr(Trainer, "fit", interrupted)
            for go in (
                lambda: run_sweep(self.PLAN, out=tmp_path / "s"),
                lambda: resume_sweep(tmp_path / "s"),
            ):
                with pytest.raises(KeyboardInterrupt):
                    go()
                said = capsys.readouterr().err
                assert f"go on with it: minicnn sweep --resume {tmp_path / 's'}" in said
                assert "minicnn train" not in said

    def test_a_training_that_diverges_comes_last_and_is_not_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = recipes.run

        def diverging(recipe: Any, **options: Any) -> Any:
            result = run(recipe, **options)
            if recipe.lr == 0.01:
                (result.folder.path / "results.json").unlink()
                raise TrainingError("the loss became nan")
            return result

        monkeypatch.setattr(sweeps, "run", diverging)
        plan = Plan({"lr": [0.01, 1e-3]}, {"epochs": 1, "batch_size": 64})
        result = run_sweep(plan, out=tmp_path / "s")
        assert [trial.settings["lr"] for trial in result.trials] == [1e-3, 0.01]
        assert math.isnan(result.trials[1].mean)
        assert "the loss became nan" in (tmp_path / "s" / "trial-000-seed-0" / "diverged.txt").read_text()
        assert math.isnan(resume_sweep(tmp_path / "s").trials[1].mean)

    def test_what_is_no_sweep(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"is not a sweep: it has no sweep.json"):
            resume_sweep(tmp_path)
        (tmp_path / "sweep.json").write_text("{")
        with pytest.raises(RunError, match=r"sweep.json is damaged"):
            resume_sweep(tmp_path)
