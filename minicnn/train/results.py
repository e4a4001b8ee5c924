"""What a run leaves when its training is over: the figures of the test set as numbers, and as pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from minicnn import data
from minicnn.train.curves import precision_recall_curve, roc_curve
from minicnn.train.metrics import Evaluation
from minicnn.train.run_folder import RunFolder
from minicnn.train.trainer import Trainer

if TYPE_CHECKING:
    from minicnn.plots import Picture


def draw(
    folder: RunFolder,
    trainer: Trainer,
    bundle: data.DataBundle,
    test: Evaluation,
    best_epoch: int,
    with_curves: bool,
) -> None:
    """The figures and report.html. with_curves: also precision-recall and ROC curves."""
    from minicnn import plots  # here, so that nothing else loads matplotlib
    from minicnn.train.report import write_report

    probabilities = trainer.predict(bundle.test)
    figures = {
        "learning_curves.png": plots.learning_curves(trainer.history, best_epoch),
        "confusion_matrix.png": plots.confusion_matrix(test.confusion, bundle.class_names),
        "predictions.png": plots.predictions(
            bundle.test.images, test.labels, probabilities, bundle.class_names
        ),
    }
    curves = class_curves(test, bundle.class_names) if with_curves else None
    if curves is not None:
        figures["class_curves.png"] = curves
    for name, figure in figures.items():
        figure.savefig(folder.path / name, dpi=120)
    write_report(folder, trainer.model, trainer.history, test, bundle.test, best_epoch, curves)


def class_curves(test: Evaluation, class_names: tuple[str, ...]) -> Picture:
    """Every class against the rest, for the first ten that have samples on both sides."""
    from minicnn import plots

    precision_recall, roc = {}, {}
    for number, name in enumerate(class_names[:10]):
        mine, scores = test.labels == number, test.probabilities[:, number]
        if mine.any() and not mine.all():
            found, alarms = precision_recall_curve(mine, scores), roc_curve(mine, scores)
            precision_recall[name] = (found.recall, found.precision, found.area)
            roc[name] = (alarms.false_positive_rate, alarms.true_positive_rate, alarms.area)
    return plots.class_curves(precision_recall, roc)


def write_results(
    folder: RunFolder,
    trainer: Trainer,
    bundle: data.DataBundle,
    test: Evaluation,
    best_epoch: int,
    seconds: float,
) -> None:
    """results.json."""
    results: dict[str, Any] = {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss if math.isfinite(test.loss) else None,  # JSON has no nan
        "test_images": len(test.labels),
        "test_balanced_accuracy": test.balanced_accuracy,
        "test_macro_f1": test.macro_f1,
        "test_recall": {
            name: None if math.isnan(recall) else float(recall)
            for name, recall in zip(bundle.class_names, test.per_class.recall)
        },
        "best_epoch": best_epoch,
        "validation_accuracy": trainer.history[best_epoch - 1].validation_accuracy,
        "training_seconds": round(seconds, 2),
    }
    folder.write_results(results)
