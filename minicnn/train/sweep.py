"""A search over a small space of settings, with seeds and repeats, that can be stopped and gone on with.

Settings are judged by the accuracy on held-out training images; the test images choose nothing.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, RunError
from minicnn.train.lock import locked
from minicnn.train.recipe import Recipe, resume, run
from minicnn.train.run_folder import RunFolder, new_default_folder
from minicnn.weights.files import write_whole

PLAN_FILE, TABLE_FILE, FIGURE_FILE = "sweep.json", "results.csv", "results.png"
_KINDS: dict[str, type] = {
    "lr": float,
    "weight_decay": float,
    "batch_size": int,
    "optimizer": str,
    "ema": float,
}


class Range(NamedTuple):
    """Numbers from low to high, drawn evenly on a log scale: as many between 1e-4 and 1e-3 as up to 1e-2."""

    low: float
    high: float


Space = dict[str, Range | list[Any]]


def parse_space(texts: Mapping[str, str]) -> Space:
    """From texts such as {"lr": "1e-4:1e-1", "optimizer": "adam,sgd"}: a range, or a list of values."""
    space: Space = {}
    for name, text in texts.items():
        kind = _KINDS.get(name, str)
        try:
            if ":" in text:
                low, high = (float(part) for part in text.split(":"))
                if not 0 < low < high < math.inf or kind is str:
                    raise ValueError
                space[name] = Range(low, high)
            else:
                space[name] = [kind(part.strip()) for part in text.split(",")]
        except ValueError:
            raise ConfigError(
                f'{name}: expected a range "low:high" with 0 < low < high, or values with commas between, got {text!r}'
            ) from None
    return space


@dataclass(frozen=True)
class Plan:
    """What a sweep tries. It determines every trial, so a sweep that was stopped can go on.

    space: a Range or a list of values by setting (of Recipe). fixed: settings that all trials share. With
    lists alone every combination is tried, and `trials` does not matter; otherwise `trials` random draws
    (Bergstra & Bengio 2012). Repeat r of a trial has seed + r, so trials meet the same splits and orders.
    """

    space: Space
    fixed: dict[str, Any]
    trials: int = 10
    repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        known = {field.name for field in fields(Recipe)} - {"seed"}
        for name in (*self.space, *self.fixed):
            if name not in known:
                raise ConfigError(f"a sweep has no setting {name!r}: known are {', '.join(sorted(known))}")
        if self.trials < 1 or self.repeats < 1:
            raise ConfigError(f"trials and repeats must be 1 or more, got {self.trials} and {self.repeats}")
        for settings in self.settings():
            Recipe(**self.fixed | settings)  # refuses what makes no sense, before anything is trained

    @property
    def searched(self) -> list[str]:
        """The settings that are not the same in all trials."""
        return [name for name, choice in self.space.items() if isinstance(choice, Range) or len(choice) > 1]

    def settings(self) -> list[dict[str, Any]]:
        """The settings of each trial, always the same ones."""
        if not any(isinstance(choice, Range) for choice in self.space.values()):
            return [dict(zip(self.space, values)) for values in product(*self.space.values())]
        rng = np.random.default_rng(self.seed)
        return [{name: _draw(choice, rng) for name, choice in self.space.items()} for _ in range(self.trials)]


def _draw(choice: Range | list[Any], rng: np.random.Generator) -> Any:
    if isinstance(choice, Range):
        # Three digits: what is printed is what was used.
        return float(f"{math.exp(rng.uniform(math.log(choice.low), math.log(choice.high))):.3g}")
    return choice[int(rng.integers(len(choice)))]


class Trial(NamedTuple):
    """One setting and what its repeats came to."""

    settings: dict[str, Any]
    validation: list[float]  # accuracy of each repeat; nan where training diverged
    test: list[float]

    @property
    def mean(self) -> float:
        """Over the repeats; a diverged one makes it nan, which comes last."""
        return float(np.mean(self.validation))


@dataclass
class SweepResult:
    """The trials, the best first."""

    folder: Path
    plan: Plan
    trials: list[Trial]

    def __str__(self) -> str:
        from minicnn.train.report.compare import as_text

        header, rows = _table(self)
        settings = (
            ", ".join(f"{name} {self.trials[0].settings[name]}" for name in self.plan.searched)
            or "the only one"
        )
        return f"{as_text(header, rows)}\n\nbest: {settings}; table and figure are in {self.folder}"


def run_sweep(
    plan: Plan, *, out: str | PathLike[str] | None = None, data_dir: str | PathLike[str] | None = None
) -> SweepResult:
    """Train every trial of the plan, each in a run folder of its own below the sweep's, and write the table.

    out: the folder, new or empty (default runs/<time>-sweep).
    """
    folder = new_default_folder("sweep") if out is None else RunFolder.create(out, "sweep").path
    if (folder / PLAN_FILE).exists():
        raise RunError(f"{folder} holds another sweep: go on with it by minicnn sweep --resume {folder}")
    with locked(folder):
        write_whole(folder / PLAN_FILE, (json.dumps(_to_json(plan), indent=1) + "\n").encode())
        return _train_all(folder, plan, data_dir)


def resume_sweep(path: str | PathLike[str], *, data_dir: str | PathLike[str] | None = None) -> SweepResult:
    """Go on with a sweep: finished trainings are read, an unfinished one is resumed, the others begun."""
    folder = Path(path)
    try:
        content = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
        if content.pop("format") != 1:
            raise RunError(f"{folder / PLAN_FILE} was written by a newer minicnn: update minicnn")
        space = {n: Range(**c) if isinstance(c, dict) else c for n, c in content.pop("space").items()}
        plan = Plan(space, **content)
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not a sweep: it has no {PLAN_FILE}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / PLAN_FILE} is damaged: {error}") from error
    with locked(folder):
        return _train_all(folder, plan, data_dir)


def _to_json(plan: Plan) -> dict[str, Any]:
    space = {n: c._asdict() if isinstance(c, Range) else c for n, c in plan.space.items()}
    return {"format": 1, **vars(plan), "space": space}


def _train_all(folder: Path, plan: Plan, data_dir: str | PathLike[str] | None) -> SweepResult:
    trials: list[Trial] = []
    settings = plan.settings()
    for number, chosen in enumerate(settings):
        validation, test = [], []
        for repeat in range(plan.repeats):
            place = RunFolder(folder / f"trial-{number:03}-seed-{plan.seed + repeat}")
            recipe = Recipe(**plan.fixed | chosen, seed=plan.seed + repeat)
            results = _train_one(place, recipe, data_dir, go_on=f"minicnn sweep --resume {folder}")
            validation.append(results["validation_accuracy"])
            test.append(results["test_accuracy"])
        trials.append(Trial(chosen, validation, test))
        shown = ", ".join(f"{name} {value}" for name, value in chosen.items() if name in plan.searched)
        print(f"trial {number + 1}/{len(settings)}: {shown}: {trials[-1].mean:.2%}", flush=True)
        ranked = sorted(trials, key=lambda trial: math.inf if math.isnan(trial.mean) else -trial.mean)
        result = SweepResult(folder, plan, ranked)
        _write_table(result)
    if any(not math.isnan(trial.mean) for trial in result.trials) and plan.searched:
        from minicnn import plots

        picture = plots.sweep_results(
            [{name: trial.settings[name] for name in plan.searched} for trial in result.trials],
            [trial.mean for trial in result.trials],
            [float(np.std(trial.validation)) for trial in result.trials],
        )
        picture.savefig(folder / FIGURE_FILE, dpi=120)
    return result


def _train_one(
    place: RunFolder, recipe: Recipe, data_dir: str | PathLike[str] | None, go_on: str
) -> dict[str, float]:
    """Begin, go on with, or only read one training. One that diverges counts as nan, and is not tried again."""
    from minicnn.errors import TrainingError

    failed = place.path / "diverged.txt"
    if failed.exists():
        return {"validation_accuracy": math.nan, "test_accuracy": math.nan}
    try:
        if not place.finished:
            if place.config_file.exists():
                resume(place.path, data_dir=data_dir, quiet=True, figures=False, go_on=go_on)
            else:
                run(recipe, out=place.path, data_dir=data_dir, quiet=True, figures=False, go_on=go_on)
    except TrainingError as error:
        write_whole(failed, f"{error}\n".encode())
        return {"validation_accuracy": math.nan, "test_accuracy": math.nan}
    return place.read_results()


def _table(result: SweepResult) -> tuple[list[str], list[list[str]]]:
    header = ["rank", *result.plan.searched, "validation", "+-", "test", "repeats"]
    rows = [
        [
            str(rank),
            *(str(trial.settings[name]) for name in result.plan.searched),
            f"{trial.mean:.2%}",
            f"{np.std(trial.validation):.2%}",
            f"{np.mean(trial.test):.2%}",
            str(len(trial.validation)),
        ]
        for rank, trial in enumerate(result.trials, start=1)
    ]
    return header, rows


def _write_table(result: SweepResult) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header, rows = _table(result)
    writer.writerows([header, *rows])
    write_whole(result.folder / TABLE_FILE, text.getvalue().encode())
