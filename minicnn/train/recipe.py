"""A whole training run by its settings: what `minicnn train` does, callable from Python."""

from __future__ import annotations

import math
import platform
import sys
import time
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np

import minicnn
from minicnn import data, models, optim, plots, schedules, weights
from minicnn.data.bad_files import check_policy, to_csv
from minicnn.data.transforms.presets import augmentation, mixes_labels
from minicnn.errors import ConfigError, DataError, nearest
from minicnn.train.balance import BestBalancedWeights, check_balance, make_loss, make_sampler
from minicnn.train.callbacks import BestWeights, Callback, CsvLog, Progress
from minicnn.train.curves import precision_recall_curve, roc_curve
from minicnn.train.metrics import Evaluation
from minicnn.train.run_folder import RunFolder
from minicnn.train.trainer import Trainer
from minicnn.weights.files import write_whole

# Name -> (class, its learning rate where none is given, further options). With a one-cycle
# schedule the rate is the peak.
OPTIMIZERS: dict[str, tuple[type[optim.Optimizer], float, dict[str, Any]]] = {
    "sgd": (optim.SGD, 0.05, {"momentum": 0.9}),
    "adam": (optim.Adam, 4e-3, {}),
    "adamw": (optim.AdamW, 4e-3, {}),
    "rmsprop": (optim.RMSprop, 1e-3, {}),
    "adagrad": (optim.Adagrad, 1e-2, {}),
}
SCHEDULES = ("one-cycle", "cosine", "step", "constant")


@dataclass(frozen=True)
class Recipe:
    """The settings of a run; together with the data they determine the weights, bit for bit."""

    model: str = "lenet5"
    data: str = "fashion-mnist-mini"
    epochs: int = 15
    batch_size: int = 64
    optimizer: str = "adam"
    lr: float | None = None  # None: the optimizer's own
    schedule: str = "one-cycle"
    weight_decay: float = 1e-3
    validation: float = 0.1  # share of the training images held out to choose the best weights
    seed: int = 0
    balance: str = "none"  # for classes of unequal size, see train/balance.py
    augment: str = "none"  # light, strong, or a list, see data/transforms/presets.py
    on_bad_file: str = "error"  # or skip
    device: str = "cpu"  # or "cuda"

    def __post_init__(self) -> None:
        models.architecture(self.model)
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"unknown optimizer {self.optimizer!r}: {nearest(self.optimizer, OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"unknown schedule {self.schedule!r}: {nearest(self.schedule, SCHEDULES)}")
        for name, low in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not 0 < self.validation < 1:
            raise ConfigError(f"validation is a share between 0 and 1, got {self.validation}")
        if self.lr is not None and not 0 < self.lr < float("inf"):
            raise ConfigError(f"lr must be positive, got {self.lr}")
        if self.weight_decay < 0:
            raise ConfigError(f"weight_decay must be 0 or more, got {self.weight_decay}")
        check_balance(self.balance, mixes_labels(self.augment))
        check_policy(self.on_bad_file)


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    folder: RunFolder
    test: Evaluation
    best_epoch: int
    training_seconds: float


def run(
    recipe: Recipe,
    *,
    out: str | PathLike[str] | None = None,
    data_dir: str | PathLike[str] | None = None,
    quiet: bool = False,
) -> RunResult:
    """Train by the recipe and leave a run folder: see train/run_folder.py for what is in it.

    A part of the training images is held out; the weights of the epoch that does best on it
    are kept, and only they meet the test images, once. out: the folder, new or empty (default
    runs/<time>-<model>). data_dir: where to look for the data first.
    """
    # One seed, three independent streams: adding a draw in one place moves nothing elsewhere.
    model_rng, split_rng, order_rng = np.random.default_rng(recipe.seed).spawn(3)
    bundle = data.load(
        recipe.data, data_dir, input_shape=_input_shape(recipe.model), on_bad_file=recipe.on_bad_file
    )
    options = {"num_classes": len(bundle.class_names), "in_channels": bundle.preprocessing.channels}
    training, validation = _held_out(bundle, recipe.validation, split_rng)
    model = models.build(recipe.model, rng=model_rng, **options).to(recipe.device)
    soft_labels = mixes_labels(recipe.augment)
    sampler = make_sampler(recipe.balance, training.labels)
    batches = data.Loader(
        training,
        batch_size=recipe.batch_size,
        shuffle=sampler is None,
        rng=order_rng,
        sampler=sampler,
        transform=augmentation(recipe.augment, training.images.shape[1:], training.num_classes),
        workers=0 if recipe.augment == "none" else 1,
    )
    optimizer = make_optimizer(recipe, model)

    folder = RunFolder.create(out, recipe.model)
    folder.write_config(
        {
            "recipe": asdict(recipe),
            "model": {"name": recipe.model, "options": options},
            "preprocessing": bundle.preprocessing.to_dict(),
            "class_names": list(bundle.class_names),
            "versions": {
                "minicnn": minicnn.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
    )
    if not quiet:
        size = sum(parameter.size for parameter in model.parameters())
        print(
            f"{recipe.model} ({size:,} parameters) on {recipe.data}: {len(training):,} training, "
            f"{len(validation):,} validation, {len(bundle.test):,} test images",
            file=sys.stderr,
        )
    if bundle.bad_files:
        write_whole(folder.bad_files_file, to_csv(bundle.bad_files).encode(errors="surrogateescape"))
    if not quiet:
        _tell_of_data(bundle, folder)
    best = (BestWeights if recipe.balance == "none" else BestBalancedWeights)(folder.weights_file)
    callbacks: list[Callback] = [CsvLog(folder.metrics_file), best]
    trainer = Trainer(
        model,
        models.loss_for(
            recipe.model, make_loss(recipe.balance, training.labels, training.num_classes, soft_labels)
        ),
        optimizer,
        make_schedule(recipe, optimizer, steps=recipe.epochs * len(batches)),
        callbacks if quiet else [Progress(), *callbacks],
    )
    start = time.perf_counter()
    try:
        trainer.fit(batches, validation, epochs=recipe.epochs)
    except KeyboardInterrupt:
        kept = f"keeps the weights of epoch {best.epoch}" if best.epoch else "holds no weights yet"
        print(f"\nstopped: {folder.path} {kept}", file=sys.stderr)
        raise
    seconds = time.perf_counter() - start

    weights.load(model, folder.weights_file)  # what the run folder holds is what is tested
    test = trainer.evaluate(bundle.test)
    result = RunResult(folder, test, best.epoch or recipe.epochs, seconds)
    _write_results(result, trainer, bundle, with_curves=recipe.balance != "none")
    return result


def _input_shape(model: str) -> data.InputShape:
    """What the network takes; one made for grey images takes colour where the pictures have it."""
    channels, height, width = models.architecture(model).input_shape
    return None if channels == 1 else channels, height, width


def _held_out(
    bundle: data.DataBundle, share: float, rng: np.random.Generator
) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    """Training and validation images: the source's own validation part, or a share of its training images."""
    if bundle.validation is not None:
        return bundle.train, bundle.validation
    training, validation = bundle.train.split(share, rng=rng)
    if not len(validation):
        raise DataError(
            f"{len(bundle.train)} training images are too few to hold out a share of {share} for validation: "
            "add some to every class"
        )
    return training, validation


def _tell_of_data(bundle: data.DataBundle, folder: RunFolder) -> None:
    for note in bundle.notes:
        print(f"note: {note}", file=sys.stderr)
    if bundle.bad_files:
        print(
            f"note: {len(bundle.bad_files)} file(s) cannot be used and were left out, "
            f"{folder.bad_files_file} lists them",
            file=sys.stderr,
        )


def make_optimizer(recipe: Recipe, model: Any) -> optim.Optimizer:
    """The recipe's optimizer for the model's parameters."""
    kind, default_lr, options = OPTIMIZERS[recipe.optimizer]
    lr = default_lr if recipe.lr is None else recipe.lr
    return kind(model, lr=lr, weight_decay=recipe.weight_decay, **options)


def make_schedule(recipe: Recipe, optimizer: optim.Optimizer, steps: int) -> schedules.Schedule | None:
    """The recipe's schedule over `steps` batches; None for a constant learning rate."""
    if recipe.schedule == "one-cycle":
        cycles = isinstance(optimizer, (optim.SGD, optim.Adam))  # those that have a momentum to cycle
        return schedules.OneCycleLR(optimizer, max_lr=optimizer.lr, total_steps=steps, cycle_momentum=cycles)
    if recipe.schedule == "cosine":
        return schedules.CosineAnnealingLR(optimizer, T_max=steps, steps_by="batch")
    if recipe.schedule == "step":
        return schedules.StepLR(optimizer, step_size=max(1, recipe.epochs // 3))
    return None


def _write_results(result: RunResult, trainer: Trainer, bundle: data.DataBundle, with_curves: bool) -> None:
    folder, test = result.folder, result.test
    folder.write_results(
        {
            "test_accuracy": test.accuracy,
            "test_loss": test.loss if math.isfinite(test.loss) else None,  # JSON has no nan
            "test_images": len(test.labels),
            "test_balanced_accuracy": test.balanced_accuracy,
            "test_macro_f1": test.macro_f1,
            "test_recall": {
                name: None if math.isnan(recall) else float(recall)
                for name, recall in zip(bundle.class_names, test.per_class.recall)
            },
            "best_epoch": result.best_epoch,
            "training_seconds": round(result.training_seconds, 2),
        }
    )
    probabilities = trainer.predict(bundle.test)
    figures = {
        "learning_curves.png": plots.learning_curves(trainer.history, result.best_epoch),
        "confusion_matrix.png": plots.confusion_matrix(test.confusion, bundle.class_names),
        "predictions.png": plots.predictions(
            bundle.test.images, test.labels, probabilities, bundle.class_names
        ),
    }
    if with_curves:
        figures["class_curves.png"] = _class_curves(test, bundle.class_names)
    for name, figure in figures.items():
        figure.savefig(folder.path / name, dpi=120)


def _class_curves(test: Evaluation, class_names: tuple[str, ...]) -> plots.Picture:
    """Every class against the rest, for the first ten that have samples on both sides."""
    precision_recall, roc = {}, {}
    for number, name in enumerate(class_names[:10]):
        mine, scores = test.labels == number, test.probabilities[:, number]
        if mine.any() and not mine.all():
            found, alarms = precision_recall_curve(mine, scores), roc_curve(mine, scores)
            precision_recall[name] = (found.recall, found.precision, found.area)
            roc[name] = (alarms.false_positive_rate, alarms.true_positive_rate, alarms.area)
    return plots.class_curves(precision_recall, roc)
