"""Does augmentation help where images are few?  python -m benchmarks.augmentation

LeNet-5 on 500 images of Fashion-MNIST, 50 a class, tested on all 10,000 test images, over five seeds, each with
images of its own. First the baseline is tuned (learning rate, weight decay, number of updates) on other draws
of 500 images and 2,000 images kept for that. Then each augmentation gets as many updates, and the learning rate
and weight decay that suit it best on those same images. The test images choose nothing.
The full data set must be on the machine (`minicnn data list`).

--keep-baseline takes the baseline's tuning from the last report. Writes benchmarks/results/augmentation.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments import SEEDS, Settings, machine, paired_difference, train_and_test
from minicnn import data
from minicnn.plots.style import BLUE, GREY, new_picture

RESULTS = Path(__file__).parent / "results"
PER_CLASS = 50
GRID = {"lr": (2e-3, 4e-3, 8e-3), "weight_decay": (1e-3, 1e-2), "updates": (250, 500, 1000)}
# What an augmentation is tried with: as the baseline's best, and gentler, since it regularises too.
SPEC_SETTINGS = [{"lr": 4e-3, "weight_decay": 1e-3}, {"lr": 8e-3, "weight_decay": 1e-2}]
TUNING_SEEDS = (100, 101)
SPECS = ("cutmix:1", "flip,crop:1,scale:0.1,mixup:0.4", "light", "strong")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--specs", nargs="*", default=list(SPECS))
    parser.add_argument("--keep-baseline", action="store_true")
    options = parser.parse_args()
    full = data.load("fashion-mnist")
    tables: dict[str, list[dict[str, Any]]] = {}
    if options.keep_baseline:
        before = json.loads((RESULTS / "augmentation.json").read_text(encoding="utf-8"))["tuning"]
        tables["none"] = before["none"] if isinstance(before, dict) else before
    else:
        every = [dict(zip(GRID, values)) for values in product(*GRID.values())]
        tables["none"] = tune(full, Settings(), every)
    baseline = best(Settings(), tables["none"])
    settings, accuracies = {"none": baseline}, {"none": run(baseline, full)}
    for spec in options.specs:
        start = replace(baseline, augment=spec)
        tables[spec] = tune(full, start, SPEC_SETTINGS)
        settings[spec] = best(start, tables[spec])
        accuracies[spec] = run(settings[spec], full)
        write(settings, tables, accuracies, len(full.test))  # after each: nothing is lost when it is stopped


def write(
    settings: dict[str, Settings],
    tables: dict[str, list[dict[str, Any]]],
    accuracies: dict[str, list[float]],
    test_images: int,
) -> None:
    gain = {
        spec: paired_difference(found, accuracies["none"])
        for spec, found in accuracies.items()
        if spec != "none"
    }
    report: dict[str, Any] = {
        "command": "python -m benchmarks.augmentation",
        "training_images": 10 * PER_CLASS,
        "test_images": test_images,
        "settings": {spec: asdict(one) for spec, one in settings.items()},
        "tuning": tables,
        "accuracy": accuracies,
        "gain": gain,
        **machine(),
    }
    (RESULTS / "augmentation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "augmentation.md").write_text(as_text(report), encoding="utf-8")
    if gain:
        draw(report).savefig(RESULTS / "augmentation.png", dpi=110)


def few(full: data.DataBundle, seed: int) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """PER_CLASS training images of every class, and 200 a class of the others; prepared by the 500 alone."""
    rng = np.random.default_rng(1000 + seed)
    chosen, others = [], []
    for label in range(10):
        own = rng.permutation(np.flatnonzero(full.train.labels == label))
        chosen.append(own[:PER_CLASS])
        others.append(own[PER_CLASS : PER_CLASS + 200])
    training = full.train.subset(np.concatenate(chosen))
    prepared = data.Preprocessing.from_training_images(training.images)
    rest = full.train.subset(np.concatenate(others))
    return training.with_preprocessing(prepared), rest.with_preprocessing(prepared)


def tune(full: data.DataBundle, start: Settings, candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean accuracy of every candidate, on images kept for that."""
    table = []
    for values in candidates:
        settings = replace(start, **values)
        found = [train_and_test(settings, seed, *few(full, seed)).accuracy for seed in TUNING_SEEDS]
        table.append({**values, "accuracy": statistics.mean(found)})
        print(start.augment, table[-1], flush=True)
    return table


def best(start: Settings, table: list[dict[str, Any]]) -> Settings:
    line = max(table, key=lambda line: line["accuracy"])
    return replace(start, **{name: value for name, value in line.items() if name != "accuracy"})


def run(settings: Settings, full: data.DataBundle) -> list[float]:
    """The test accuracy of every seed."""
    found = []
    for seed in SEEDS:
        training, _ = few(full, seed)
        assert training.preprocessing is not None
        test = full.test.with_preprocessing(training.preprocessing)
        found.append(train_and_test(settings, seed, training, test).accuracy)
    print(f"{settings.augment:<24}", " ".join(f"{accuracy:.2%}" for accuracy in found), flush=True)
    return found


def as_text(report: dict[str, Any]) -> str:
    settings = report["settings"]["none"]
    lines = [
        "# Augmentation on 500 images",
        "",
        f"LeNet-5 on {report['training_images']} images of Fashion-MNIST (50 a class), tested on "
        f"{report['test_images']:,}; five seeds, each with its own 500 images. The baseline was tuned on other images "
        f"over {len(report['tuning']['none'])} settings of learning rate, weight decay and updates. All train for "
        f"{settings['updates']} updates of {settings['batch_size']} images; every augmentation has the learning rate and weight "
        "decay that were best for it on the same other images.",
        "",
        "| `--augment` | lr | weight decay | mean accuracy | gain over none, points | 95% interval |",
        "|---|---|---|---|---|---|",
    ]
    for spec, accuracies in report["accuracy"].items():
        gain = report["gain"].get(spec)
        shown = (
            "| - | - |"
            if gain is None
            else f"| {100 * gain['mean']:+.2f} | {100 * gain['interval_95'][0]:+.2f} to {100 * gain['interval_95'][1]:+.2f} |"
        )
        own = report["settings"][spec]
        lines.append(
            f"| {spec} | {own['lr']:g} | {own['weight_decay']:g} | {statistics.mean(accuracies):.2%} {shown}"
        )
    return "\n".join([*lines, "", f"`{report['command']}`; {report['machine']}.", ""])


def draw(report: dict[str, Any]) -> Any:
    figure = new_picture(7.5, 1.3 + 0.42 * len(report["gain"]))
    axes = figure.subplots()
    gains = sorted(report["gain"].items(), key=lambda item: item[1]["mean"])
    axes.set_ylim(-0.6, len(gains) - 0.4)
    for height, (_, gain) in enumerate(gains):
        low, high = (100 * bound for bound in gain["interval_95"])
        axes.plot([low, high], [height, height], color=BLUE, linewidth=2)
        axes.plot([100 * gain["mean"]], [height], "o", color=BLUE)
        axes.plot([100 * each for each in gain["each"]], [height] * len(gain["each"]), "|", color=GREY)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set(
        yticks=range(len(gains)),
        yticklabels=[spec for spec, _ in gains],
        xlabel="test accuracy gained, points (95% interval)",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
