"""The bodies of `minicnn evaluate` and `minicnn predict`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from minicnn.data.report import shortened
from minicnn.errors import DataError
from minicnn.train.balance import of_unequal_size
from minicnn.train.finished import FinishedRun


def evaluate_command(run: Path, data: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Print accuracy and loss on the test images, and the figures of every class."""
    finished = FinishedRun(run)
    result = finished.evaluate(data, data_dir)
    metrics = result.per_class
    if as_json:
        rows = zip(finished.class_names, *(values.tolist() for values in metrics))
        per_class = [
            dict(zip(("class", *metrics._fields), (_finite(value) for value in row))) for row in rows
        ]
        print(
            json.dumps(
                {
                    "accuracy": result.accuracy,
                    "balanced_accuracy": _finite(result.balanced_accuracy),
                    "loss": _finite(result.loss),
                    "images": len(result.labels),
                    "classes": per_class,
                }
            )
        )
        return
    names = [shortened(name) for name in finished.class_names]
    width = max(map(len, [*names, "class"]))
    print(f"{'class':<{width}}  precision  recall      f1  images")
    for name, precision, recall, f1, support in zip(names, *metrics):
        print(
            f"{name:<{width}}  {_percent(precision):>9}  {_percent(recall):>6}  {_percent(f1):>6}  {support:>6}"
        )
    print(f"\ntest accuracy: {result.accuracy:.1%} on {len(result.labels):,} images, loss {result.loss:.3f}")
    if of_unequal_size(metrics.support):
        print(f"balanced accuracy (the mean recall of the classes): {result.balanced_accuracy:.1%}")


def predict_command(run: Path, images: Sequence[Path]) -> int:
    """Print a line a picture. Returns the exit status: 1 when one could not be read."""
    finished = FinishedRun(run)
    failed = False
    for path in images:
        try:
            prediction = finished.predict(path)
        except DataError as error:  # the other pictures are still answered
            print(f"error: {error}", file=sys.stderr)
            failed = True
            continue
        best, *others = zip(prediction.classes, prediction.probabilities)
        also = ", ".join(f"{shortened(name)} {probability:.1%}" for name, probability in others[:2])
        print(f"{path}: {shortened(best[0])} {best[1]:.1%}" + (f"  (then {also})" if also else ""))
    return 1 if failed else 0


def _percent(share: float) -> str:
    """A dash where nothing was counted: a class that was never predicted has no precision."""
    return "-" if math.isnan(share) else f"{share:.1%}"


def _finite(value: object) -> object:
    """JSON has no nan and no infinity: null instead."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
