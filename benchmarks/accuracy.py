"""What the default training reaches on the test images, over five seeds.

    python -m benchmarks.accuracy                      the embedded subset, LeNet-5 (make bench-accuracy)
    python -m benchmarks.accuracy --full               the full Fashion-MNIST set, LeNet-5 and convnet3

Writes benchmarks/results/accuracy-<data>-<model>.json. The full set must be on the machine
(see `minicnn data list`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.train.recipe import Recipe, run

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the full set, one seed a model")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--epochs", type=int, default=None, help="for --full (default: LeNet-5 10, convnet3 4)"
    )
    parser.add_argument("--models", nargs="*", default=["lenet5", "convnet3"], help="for --full")
    arguments = parser.parse_args()
    if arguments.full:
        for model in arguments.models:
            epochs = arguments.epochs or (10 if model == "lenet5" else 4)
            measure([Recipe(model=model, data="fashion-mnist", epochs=epochs)])
    else:
        measure([Recipe(seed=seed) for seed in range(arguments.seeds)])


def measure(recipes: list[Recipe]) -> None:
    """Train by each recipe in a temporary folder and write down what came of it."""
    runs = []
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            result = run(recipe, out=Path(folder) / "run", quiet=len(recipes) > 1)
        runs.append(
            {
                "seed": recipe.seed,
                "test_accuracy": result.test.accuracy,
                "best_epoch": result.best_epoch,
                "training_seconds": round(result.training_seconds, 1),
            }
        )
        print(runs[-1], flush=True)
    first = recipes[0]
    report: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.accuracy", *sys.argv[1:]]),
        "model": first.model,
        "data": first.data,
        "epochs": first.epochs,
        "test_images": len(result.test.labels),
        "median_test_accuracy": statistics.median(each["test_accuracy"] for each in runs),
        "median_training_seconds": statistics.median(each["training_seconds"] for each in runs),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "runs": runs,
    }
    path = RESULTS / f"accuracy-{first.data}-{first.model}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"median test accuracy {report['median_test_accuracy']:.1%}, written to {path}")


if __name__ == "__main__":
    main()
