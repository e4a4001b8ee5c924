"""A whole training run by its settings: what `minicnn train` does, callable from Python."""

from __future__ import annotations

import hashlib
import math
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np

from minicnn import data, models, optim, schedules, weights
from minicnn.data.bad_files import check_policy, to_csv
from minicnn.data.transforms.presets import augmentation, mixes_labels
from minicnn.errors import ConfigError, DataError, RunError, nearest
from minicnn.train.averaging import WeightAverage
from minicnn.train.balance import BestBalancedWeights, check_balance, make_loss, make_sampler, of_unequal_size
from minicnn.train.callbacks import BestWeights, Callback, CsvLog, Progress
from minicnn.train.checkpoint import Checkpoint, made_by
from minicnn.train.clipping import GradientClipping
from minicnn.train.early_stopping import EarlyStopping
from minicnn.train.json_lines import JsonLines
from minicnn.train.lock import locked
from minicnn.train.metrics import Evaluation
from minicnn.train.nan_guard import NaNGuard
from minicnn.train.results import draw, write_results
from minicnn.train.run_folder import RunFolder
from minicnn.train.signals import StopOnSignal
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
    early_stopping: int | None = None  # epochs without a lower validation loss; None: train all epochs
    clip_norm: float | None = None  # the longest gradient; None: any
    ema: float | None = None  # decay of the averaged weights that are then kept; None: no averaging

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
        if self.early_stopping is not None and self.early_stopping < 1:
            raise ConfigError(f"early_stopping must be at least 1 epoch, got {self.early_stopping}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(f"clip_norm must be positive, got {self.clip_norm}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ConfigError(f"ema is a decay from 0 up to but not including 1, got {self.ema}")
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
    figures: bool = True,
    checkpoints: Mapping[str, Any] | None = None,
    go_on: str | None = None,
) -> RunResult:
    """Train by the recipe and leave a run folder: see train/run_folder.py for what is in it.

    A part of the training images is held out; the weights of the epoch that does best on it
    are kept, and only they meet the test images, once. out: the folder, new or empty (default
    runs/<time>-<model>). data_dir: where to look for the data first. figures: False leaves out the
    figures and the report. checkpoints: arguments of Checkpoint, such as {"every_seconds": 600}.

    Ctrl-C ends it by KeyboardInterrupt and SIGTERM by SystemExit, with a checkpoint written; it says then how to
    go on, by `minicnn train --resume` or by the command `go_on`.
    """
    job = _Job(recipe, data_dir)
    folder = RunFolder.create(out, recipe.model)
    with locked(folder.path):
        folder.write_config(job.config)
        return _train(job, folder, quiet, figures, dict(checkpoints or {}), go_on)


def resume(
    path: str | PathLike[str],
    *,
    data_dir: str | PathLike[str] | None = None,
    quiet: bool = False,
    figures: bool = True,
    checkpoints: Mapping[str, Any] | None = None,
    go_on: str | None = None,
) -> RunResult:
    """Go on with the run in a folder, from its newest checkpoint, with its own settings.

    It ends with the same weights, bit for bit, as if it had never stopped. A run that was killed before
    its first checkpoint begins anew; one that is finished is only tested again.
    Raises RunError when the folder is no run or in use, CheckpointError when no checkpoint can be used,
    DataError when the training images are not the ones it began with.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    try:
        recipe = Recipe(**config["recipe"])
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder.config_file} does not describe a run of this minicnn: {error}") from error
    job = _Job(recipe, data_dir)
    for what, ours in (
        ("data_sha256", job.config["data_sha256"]),
        ("preprocessing", job.config["preprocessing"]),
    ):
        if config.get(what, ours) != ours:
            raise DataError(
                f"{recipe.data} is not what it was when {folder.path} began ({what} differs): put the same data "
                "back (or name their folder with --data-dir), or begin a new run"
            )
    with locked(folder.path):
        return _train(job, folder, quiet, figures, dict(checkpoints or {}), go_on)


class _Job:
    """Everything that a recipe and the data determine, made anew."""

    def __init__(self, recipe: Recipe, data_dir: str | PathLike[str] | None) -> None:
        # One seed, three independent streams: adding a draw in one place moves nothing elsewhere.
        model_rng, split_rng, order_rng = np.random.default_rng(recipe.seed).spawn(3)
        bundle = data.load(
            recipe.data, data_dir, input_shape=input_shape(recipe.model), on_bad_file=recipe.on_bad_file
        )
        options = {"num_classes": len(bundle.class_names), "in_channels": bundle.preprocessing.channels}
        self.recipe = recipe
        self.bundle = bundle
        self.training, self.validation = held_out(bundle, recipe.validation, split_rng)
        self.model = models.build(recipe.model, rng=model_rng, **options).to(recipe.device)
        labels, classes = self.training.labels, self.training.num_classes
        soft_labels = mixes_labels(recipe.augment)
        self.loss = models.loss_for(recipe.model, make_loss(recipe.balance, labels, classes, soft_labels))
        sampler = make_sampler(recipe.balance, labels)
        self.batches = data.Loader(
            self.training,
            batch_size=recipe.batch_size,
            shuffle=sampler is None,
            rng=order_rng,
            sampler=sampler,
            transform=augmentation(recipe.augment, self.training.images.shape[1:], classes),
            workers=0 if recipe.augment == "none" else 1,
        )
        self.optimizer = make_optimizer(recipe, self.model)
        self.schedule = make_schedule(recipe, self.optimizer, steps=recipe.epochs * len(self.batches))
        self.config = {
            "recipe": asdict(recipe),
            "model": {"name": recipe.model, "options": options},
            "preprocessing": bundle.preprocessing.to_dict(),
            "class_names": list(bundle.class_names),
            "data_sha256": _fingerprint(bundle.train),
            "versions": made_by(),
        }


def _train(
    job: _Job,
    folder: RunFolder,
    quiet: bool,
    figures: bool,
    checkpoints: dict[str, Any],
    go_on: str | None,
) -> RunResult:
    recipe, bundle = job.recipe, job.bundle
    if not quiet:
        size = sum(parameter.size for parameter in job.model.parameters())
        print(
            f"{recipe.model} ({size:,} parameters) on {recipe.data}: {len(job.training):,} training, "
            f"{len(job.validation):,} validation, {len(bundle.test):,} test images",
            file=sys.stderr,
        )
    if bundle.bad_files:
        write_whole(folder.bad_files_file, to_csv(bundle.bad_files).encode(errors="surrogateescape"))
    if not quiet:
        _tell_of_data(bundle, folder)
    best = (BestWeights if recipe.balance == "none" else BestBalancedWeights)(folder.weights_file)
    signals = StopOnSignal(quiet)
    checkpoint = Checkpoint(folder.checkpoints, identity=asdict(recipe), **checkpoints)
    callbacks: list[Callback] = [
        NaNGuard(folder.path / "last_good.safetensors"),
        *make_callbacks(recipe),
        CsvLog(folder.metrics_file),
        JsonLines(folder.json_lines_file),
        best,
        checkpoint,
        signals,
    ]
    trainer = Trainer(
        job.model,
        job.loss,
        job.optimizer,
        job.schedule,
        callbacks if quiet else [Progress(), *callbacks],
    )
    try:
        trainer.fit(job.batches, job.validation, epochs=recipe.epochs, resume=folder.checkpoints)
        if trainer.interrupt:
            raise (
                KeyboardInterrupt
                if signals.received is not signal.SIGTERM
                else SystemExit(128 + signal.SIGTERM)
            )
    except (KeyboardInterrupt, SystemExit):
        kept = f"keeps the weights of epoch {best.epoch}" if best.epoch else "holds no weights yet"
        print(f"\nstopped: {folder.path} {kept}", file=sys.stderr)
        print(f"go on with it: {go_on or f'minicnn train --resume {folder.path}'}", file=sys.stderr)
        raise
    seconds = math.fsum(trainer.history.column("seconds"))

    weights.load(job.model, folder.weights_file)  # what the run folder holds is what is tested
    test = trainer.evaluate(bundle.test)
    result = RunResult(folder, test, best.epoch or recipe.epochs, seconds)
    if not folder.finished:
        with_curves = recipe.balance != "none" or of_unequal_size(test.per_class.support)
        if figures:
            draw(folder, trainer, bundle, test, result.best_epoch, with_curves)
        # The last file: its presence says that the run is finished.
        write_results(folder, trainer, bundle, test, result.best_epoch, result.training_seconds)
    return result


def input_shape(model: str) -> data.InputShape:
    """What the network takes; one made for grey images takes colour where the pictures have it."""
    channels, height, width = models.architecture(model).input_shape
    return None if channels == 1 else channels, height, width


def held_out(
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


def _fingerprint(training: data.ArrayDataset) -> str:
    """SHA-256 of the training images and labels, as they are stored."""
    digest = hashlib.sha256(np.ascontiguousarray(training.labels).tobytes())
    images = getattr(training, "images", None)  # a data set that reads its files one by one has none
    if images is not None:
        digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


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


def make_callbacks(recipe: Recipe) -> list[Callback]:
    """The callbacks that the recipe's settings ask for."""
    callbacks: list[Callback] = []
    if recipe.clip_norm is not None:
        callbacks.append(GradientClipping(recipe.clip_norm))
    if recipe.ema is not None:
        callbacks.append(WeightAverage(recipe.ema))
    if recipe.early_stopping is not None:
        callbacks.append(EarlyStopping(recipe.early_stopping))
    return callbacks
