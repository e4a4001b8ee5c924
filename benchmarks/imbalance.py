"""What can be done about classes of unequal size?  python -m benchmarks.imbalance

400 shirts and 80 T-shirts of Fashion-MNIST, classes that are hard to tell apart, written as PNGs of unequal size
into a folder, as a person would have them; tested on 1,000 of each, over five seeds, each with pictures of its own.
The baseline is tuned first (learning rate, weight decay, updates), for the least loss on 1,000 further pictures of
each class; every way of balancing gets its settings and as many updates. Then the
command's own defaults, `minicnn train --data FOLDER`, with and without --balance. The full data set must be on the
machine (`minicnn data list`).

Writes benchmarks/results/imbalance.json, .md and .png.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.experiments import SEEDS, Settings, machine, paired_difference, train_and_test
from minicnn import data
from minicnn.plots.style import BLUE, ORANGE, new_picture
from minicnn.train import Evaluation, precision_recall_curve, roc_curve
from minicnn.train.balance import BALANCES
from minicnn.train.recipe import Recipe, run

RESULTS = Path(__file__).parent / "results"
CLASSES = {"shirt": (6, 400), "t-shirt": (0, 80)}
SMALL = "t-shirt"
GRID = {"lr": (1e-3, 2e-3, 4e-3), "weight_decay": (1e-3, 1e-2), "updates": (75, 150, 300, 600)}
TUNING_SEEDS = (100, 101)
TESTED = 1000  # of each class


def main() -> None:
    full = data.load("fashion-mnist")
    tuned, table = tune(full)
    print("tuned:", tuned, flush=True)
    found: dict[str, list[dict[str, float]]] = {balance: [] for balance in BALANCES}
    for seed in SEEDS:
        training, test = load(full, seed, "test")
        for balance in BALANCES:
            found[balance].append(measure(replace(tuned, balance=balance), seed, training, test))
            print(seed, balance, found[balance][-1], flush=True)
    defaults = [as_it_stands(full, seed) for seed in SEEDS]
    commands = {balance: [runs[balance] for runs in defaults] for balance in BALANCES}
    report: dict[str, Any] = {
        "command": "python -m benchmarks.imbalance",
        "training_images": {name: count for name, (_, count) in CLASSES.items()},
        "test_images": dict.fromkeys(CLASSES, TESTED),
        "settings": asdict(tuned),
        "tuning": table,
        "runs": found,
        "gain": gains(found),
        "command_runs": commands,
        "command_gain": gains(commands),
        **machine(),
    }
    (RESULTS / "imbalance.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "imbalance.md").write_text(as_text(report), encoding="utf-8")
    draw(report).savefig(RESULTS / "imbalance.png", dpi=110)


Runs = dict[str, list[dict[str, float]]]


def gains(found: Runs) -> dict[str, Any]:
    """What every way of balancing adds to every figure of the baseline."""
    return {
        balance: {
            figure: paired_difference([run[figure] for run in runs], [run[figure] for run in found["none"]])
            for figure in runs[0]
        }
        for balance, runs in found.items()
        if balance != "none"
    }


def load(full: data.DataBundle, seed: int, testing: str) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """Through a folder of PNGs; testing "tuning": on training images that are not used otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(full, Path(folder), seed, testing)
        bundle = data.load_own(folder, input_shape=(1, 28, 28), cache=False)
    return bundle.train, bundle.test


def write_folder(full: data.DataBundle, folder: Path, seed: int, testing: str = "test") -> None:
    """train/ and test/ with a folder a class, PNGs from 24 to 60 pixels wide and high."""
    rng = np.random.default_rng(2000 + seed)
    for name, (label, count) in CLASSES.items():
        own = rng.permutation(np.flatnonzero(full.train.labels == label))
        tested = (
            own[count : count + TESTED] if testing == "tuning" else np.flatnonzero(full.test.labels == label)
        )
        source = full.train if testing == "tuning" else full.test
        _write(full.train, own[:count], folder / "train" / name, rng)
        _write(source, tested[:TESTED], folder / "test" / name, rng)


def _write(source: data.ArrayDataset, rows: np.ndarray, folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for row in rows:
        width, height = (int(side) for side in rng.integers(24, 61, 2))
        image = Image.fromarray(source.images[row, 0]).resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / f"{row:05}.png", compress_level=1)


def tune(full: data.DataBundle) -> tuple[Settings, list[dict[str, Any]]]:
    """The settings with which the baseline, not balanced, has the least loss."""
    parts = {seed: load(full, seed, "tuning") for seed in TUNING_SEEDS}
    table = []
    for values in product(*GRID.values()):
        settings = Settings(**dict(zip(GRID, values)))
        found = [train_and_test(settings, seed, *parts[seed]).loss for seed in TUNING_SEEDS]
        table.append({**dict(zip(GRID, values)), "loss": statistics.mean(found)})
        print(table[-1], flush=True)
    best = min(table, key=lambda line: line["loss"])
    return Settings(**{name: best[name] for name in GRID}), table


def measure(
    settings: Settings, seed: int, training: data.ArrayDataset, test: data.ArrayDataset
) -> dict[str, float]:
    return figures_of(train_and_test(settings, seed, training, test))


def as_it_stands(full: data.DataBundle, seed: int) -> dict[str, dict[str, float]]:
    """`minicnn train --data FOLDER` with its defaults, and with --balance."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        write_folder(full, folder, seed)
        return {
            balance: figures_of(
                run(
                    Recipe(data=str(folder), balance=balance, seed=seed),
                    out=Path(place) / balance,
                    quiet=True,
                ).test
            )
            for balance in BALANCES
        }


def figures_of(evaluation: Evaluation) -> dict[str, float]:
    small = list(CLASSES).index(SMALL)  # names are in order in both
    mine, scores = evaluation.labels == small, evaluation.probabilities[:, small]
    recall = evaluation.per_class.recall
    return {
        "recall_small": float(recall[small]),
        "recall_large": float(recall[1 - small]),
        "balanced_accuracy": evaluation.balanced_accuracy,
        "macro_f1": evaluation.macro_f1,
        "average_precision": precision_recall_curve(mine, scores).area,
        "roc_area": roc_curve(mine, scores).area,
    }


def as_text(report: dict[str, Any]) -> str:
    settings = report["settings"]
    lines = [
        "# 400 shirts and 80 T-shirts",
        "",
        f"LeNet-5 on a folder of PNGs of unequal size, tested on {TESTED:,} pictures of each class; five seeds, each with its "
        f"own pictures. The baseline was tuned over {len(report['tuning'])} settings, for the least loss on 1,000 other pictures of each class; all train with lr "
        f"{settings['lr']:g}, weight decay {settings['weight_decay']:g} and {settings['updates']} updates of {settings['batch_size']} images.",
        "",
        *_table(report["runs"], report["gain"]),
        "",
        "## As it stands: `minicnn train --data FOLDER`",
        "",
        f"The same folders, the command's defaults ({Recipe().epochs} epochs, a tenth held out to choose the best epoch), "
        "and nothing tuned. Undersampling has a third of the updates here, since its epochs are shorter, and "
        "oversampling 1.7 times as many.",
        "",
        *_table(report["command_runs"], report["command_gain"]),
        "",
        f"`{report['command']}`; {report['machine']}.",
        "",
    ]
    return "\n".join(lines)


def _table(found: Runs, gain: dict[str, Any]) -> list[str]:
    lines = [
        "| `--balance` | recall of T-shirts (80) | of shirts (400) | balanced accuracy | macro F1 | ROC area | "
        "T-shirt recall gained, points (95% interval) |",
        "|---|---|---|---|---|---|---|",
    ]
    for balance, runs in found.items():
        means = [
            f"{statistics.mean(run[figure] for run in runs):.1%}"
            for figure in ("recall_small", "recall_large", "balanced_accuracy", "macro_f1", "roc_area")
        ]
        shown = "-"
        if balance in gain:
            low, high = gain[balance]["recall_small"]["interval_95"]
            shown = (
                f"{100 * gain[balance]['recall_small']['mean']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            )
        lines.append(f"| {balance} | {' | '.join(means)} | {shown} |")
    return lines


def draw(report: dict[str, Any]) -> Any:
    figure = new_picture(7.5, 3.6)
    axes = figure.subplots()
    for number, runs in enumerate(report["runs"].values()):
        for shift, color, name in ((-0.12, ORANGE, "recall_small"), (0.12, BLUE, "recall_large")):
            values = [100 * run[name] for run in runs]
            label = {"recall_small": "T-shirts (80 images)", "recall_large": "shirts (400 images)"}[name]
            axes.plot([number + shift] * len(values), values, ".", color=color, alpha=0.6)
            axes.plot(
                number + shift, statistics.mean(values), "_", color=color, markersize=18, markeredgewidth=3,
                label=label if number == 0 else None,
            )  # fmt: skip
    axes.set(xticks=range(len(BALANCES)), xticklabels=BALANCES, ylabel="recall on test images, %")
    axes.set_xlabel("--balance (a dot a seed, a bar the mean)")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main()
