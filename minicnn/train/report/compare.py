"""Runs side by side: what differs in their settings, what came out, and their curves."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from minicnn import plots
from minicnn.errors import ConfigError, RunError
from minicnn.train.report.page import figure, page, section, table
from minicnn.train.run_folder import RunFolder
from minicnn.weights.files import write_whole


class RunSummary(NamedTuple):
    """What is compared of a run."""

    name: str
    settings: dict[str, Any]
    results: dict[str, Any]
    columns: dict[str, list[float]]  # of metrics.csv, nan where a figure is missing


class Comparison(NamedTuple):
    """header and rows of the table, one row a run; best: the row with the highest test accuracy."""

    header: list[str]
    rows: list[list[str]]
    best: int
    runs: list[RunSummary]


def compare(runs: Sequence[str | PathLike[str]]) -> Comparison:
    """Finished runs as a table: the settings in which they differ, then what came out.

    Raises RunError when a folder is no finished run.
    """
    if not runs:
        raise ConfigError("compare: name one run folder or more")
    summaries = _with_unique_names([_read(RunFolder(path)) for path in runs])
    names = list(dict.fromkeys(name for run in summaries for name in run.settings))
    differing = [name for name in names if len({repr(run.settings.get(name)) for run in summaries}) > 1]
    # Where the test classes are of one size, balanced accuracy is the accuracy.
    unequal = any(
        abs(
            run.results.get("test_balanced_accuracy", run.results["test_accuracy"])
            - run.results["test_accuracy"]
        )
        > 1e-6
        for run in summaries
    )
    rows = [
        [
            run.name,
            *(_shown(run.settings.get(name)) for name in differing),
            f"{run.results['test_accuracy']:.2%}",
            *([_share(run.results.get("test_balanced_accuracy"))] if unequal else []),
            _number(run.results.get("test_loss")),
            _share(run.results.get("validation_accuracy")),
            str(run.results.get("best_epoch", "-")),
            _number(run.results.get("training_seconds"), 1),
        ]
        for run in summaries
    ]
    header = ["run", *(name.replace("_", " ") for name in differing)]
    header += [
        "test accuracy",
        *(["balanced accuracy"] if unequal else []),
        "test loss",
        "validation accuracy",
        "best epoch",
        "seconds",
    ]
    best = max(range(len(summaries)), key=lambda i: summaries[i].results["test_accuracy"])
    return Comparison(header, rows, best, summaries)


def compare_command(runs: Sequence[Path], out: Path | None) -> str:
    """The body of `minicnn compare`: the table as text; with out, also an HTML file with the curves."""
    comparison = compare(runs)
    lines = as_text(comparison.header, comparison.rows)
    if out is None:
        return lines
    if out.exists():
        raise ConfigError(f"{out} exists already: choose another --out")
    picture = plots.compared_curves({run.name: run.columns for run in comparison.runs})
    parts = [
        section("Results", table(comparison.header, comparison.rows, comparison.best)),
        section("Curves", figure("curves", picture, "Epoch by epoch.")),
    ]
    lead = f"{len(comparison.rows)} runs; the best on the test images is set off"
    write_whole(out, page("Runs side by side", lead, parts).encode())
    return f"{lines}\n\ncurves: {out}"


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: the first column to the left, the others to the right."""
    widths = [max(len(str(row[column])) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in [header, *rows]
    )


def _read(folder: RunFolder) -> RunSummary:
    config, results = folder.read_config(), folder.read_results()
    try:
        with folder.metrics_file.open(newline="", encoding="utf-8") as file:
            records = list(csv.DictReader(file))
        wanted = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
        columns = {name: [float(record[name] or math.nan) for record in records] for name in wanted}
        settings, accuracy = dict(config["recipe"]), float(results["test_accuracy"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"{folder.path} is not a whole run: {type(error).__name__} {error}") from error
    return RunSummary(folder.path.resolve().name, settings, {**results, "test_accuracy": accuracy}, columns)


def _with_unique_names(runs: list[RunSummary]) -> list[RunSummary]:
    seen: dict[str, int] = {}
    named = []
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        named.append(run if seen[run.name] == 1 else run._replace(name=f"{run.name} ({seen[run.name]})"))
    return named


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)


def _number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "-"


def _share(value: Any) -> str:
    return f"{value:.2%}" if isinstance(value, (int, float)) else "-"
