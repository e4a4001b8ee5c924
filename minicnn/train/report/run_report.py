"""RUN/report.html: what was trained, how it went, what it gets wrong, and how to do it again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import models, plots
from minicnn.backend import to_device, to_numpy
from minicnn.data import ArrayDataset
from minicnn.layers.base import Layer
from minicnn.layers.conv import Conv2d
from minicnn.train.history import History
from minicnn.train.metrics import Evaluation
from minicnn.train.report.page import code, columns, figure, page, section, table, text, tiles
from minicnn.train.report.timings import time_layers
from minicnn.train.run_folder import RunFolder
from minicnn.weights.files import write_whole


def write_report(
    folder: RunFolder,
    model: Layer,
    history: History,
    test: Evaluation,
    dataset: ArrayDataset,
    best_epoch: int,
    class_curves: plots.Picture | None = None,
) -> None:
    """Write folder/report.html, one file without script or network.

    model: with the weights that were tested. test: its evaluation on `dataset`, the test images, whose raw
    pictures are shown. history: of the training, best_epoch among it. class_curves: a figure of
    precision-recall and ROC curves, for classes of unequal size; their balanced accuracy is then shown too.
    """
    config = folder.read_config()
    recipe = config["recipe"]
    names = list(config["class_names"])
    seconds = math.fsum(history.column("seconds"))
    parameters = sum(parameter.size for parameter in model.parameters())
    parts = [
        tiles(
            [
                (f"{test.accuracy:.1%}", f"of {len(test.labels):,} test images right"),
                *_balanced(test, class_curves),
                (f"{test.loss:.3f}", "test loss"),
                (f"{best_epoch} of {len(history)}", "best epoch, kept"),
                (_duration(seconds), "of training"),
                (f"{parameters:,}", "parameters"),
            ]
        ),
        section(
            "Learning curves",
            figure(
                "curves", plots.learning_curves(history, best_epoch), "Loss and accuracy, epoch by epoch."
            ),
        ),
        section(
            "Confusion matrix",
            figure(
                "confusion",
                plots.confusion_matrix(test.confusion, names),
                _most_confused(test.confusion, names),
            ),
        ),
        section("By class", _by_class(test, names), *_curves(class_curves)),
        section("Hardest mistakes", _hardest(test, dataset, names)),
        *_filters(model),
        section("Time by layer", *_timings(model, dataset, recipe)),
        section(
            "Settings",
            columns(_settings("setting", _with_lr(recipe)), _settings("made by", config["versions"])),
        ),
        section("To do it again", *_again(folder, config)),
    ]
    title = f"{recipe['model']} on {recipe['data']}"
    lead = f"run {folder.path.resolve().name}: {recipe['epochs']} epochs, {recipe['optimizer']}, seed {recipe['seed']}"
    write_whole(folder.report_file, page(title, lead, parts).encode())


def _balanced(test: Evaluation, class_curves: plots.Picture | None) -> list[tuple[str, str]]:
    if class_curves is None:
        return []
    return [(f"{test.balanced_accuracy:.1%}", "balanced accuracy: the mean recall of the classes")]


def _curves(picture: plots.Picture | None) -> list[str]:
    if picture is None:
        return []
    return [figure("class-curves", picture, "Each class against the rest; in the legends, the areas.")]


def _by_class(test: Evaluation, names: list[str]) -> str:
    metrics = test.per_class
    rows = [
        (name, *(_percent(value) for value in values), f"{support:,}")
        for name, *values, support in zip(
            names, metrics.precision, metrics.recall, metrics.f1, metrics.support
        )
    ]
    return table(("class", "precision", "recall", "F1", "images"), rows)


def _hardest(test: Evaluation, dataset: ArrayDataset, names: list[str]) -> str:
    """The mistakes to which the network gave the true class the least probability."""
    shifted = test.outputs - test.outputs.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    own = probabilities[np.arange(len(test.labels)), test.labels]
    wrong = np.flatnonzero(test.predictions != test.labels)
    if not len(wrong):
        return text("There are none.")
    hardest = wrong[np.argsort(own[wrong], kind="stable")][:24]
    picture = plots.predictions(
        dataset.images[hardest],
        test.labels[hardest],
        probabilities[hardest],
        names,
        rows=3,
        mistakes_first=False,
        title="",
    )
    caption = (
        f"{len(hardest)} of {len(wrong):,} mistakes, those to which the network gave the true class the least "
        "probability. Above: its answer. Below: the true class. Look for wrong labels among them."
    )
    return figure("mistakes", picture, caption, pixels=True)


def _filters(model: Layer) -> list[str]:
    for name, leaf in model.leaves():
        if isinstance(leaf, Conv2d):
            weight = to_numpy(leaf.weight.value)
            caption = f"{name}: {weight.shape[0]} filters of {weight.shape[2]} x {weight.shape[3]}; grey is 0, white positive, black negative."
            picture = plots.filters(weight[:64], columns=min(16, max(6, len(weight))))
            return [section("Filters of the first layer", figure("filters", picture, caption, pixels=True))]
    return []


def _timings(model: Layer, dataset: ArrayDataset, recipe: Mapping[str, Any]) -> list[str]:
    batch = dataset[np.arange(min(recipe["batch_size"], len(dataset)))]
    x, labels = (to_device(array, model.device) for array in batch)
    times = time_layers(model, models.loss_for(recipe["model"]), x, labels)
    labels_ = [f"{name} ({kind})" for name, kind in zip(times.names, times.kinds)]
    total = sum(times.forward) + sum(times.backward)
    caption = f"A batch of {len(x)} on this machine: {total:.2f} ms forward and backward."
    picture = plots.layer_timings(labels_, times.forward, times.backward)
    return [figure("timings", picture, caption)]


def _settings(title: str, values: Mapping[str, Any]) -> str:
    return table(
        (title, "value"),
        [(name.replace("_", " "), "-" if v is None else v) for name, v in values.items()],
    )


def _with_lr(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with the learning rate that was used, where it leaves it to the optimizer."""
    from minicnn.train.recipe import OPTIMIZERS

    lr = recipe["lr"]
    return {
        **recipe,
        "lr": f"{OPTIMIZERS[recipe['optimizer']][1]} (the optimizer's own)" if lr is None else lr,
    }


def _again(folder: RunFolder, config: Mapping[str, Any]) -> list[str]:
    digest = hashlib.sha256(folder.weights_file.read_bytes()).hexdigest()
    made_by = ", ".join(f"{name} {value}" for name, value in config["versions"].items())
    return [
        code(command_of(config["recipe"])),
        text(
            "With the same versions and number of threads, on the same kind of machine, this gives the same weights, "
            "bit for bit:"
        ),
        code(
            f"best.safetensors  SHA-256 {digest}\ntraining data     SHA-256 {config.get('data_sha256', '-')}\nmade by           {made_by}"
        ),
    ]


def command_of(recipe: Mapping[str, Any]) -> str:
    """The command that trains by the recipe; settings at their default are left out."""
    from minicnn.train.recipe import Recipe

    default = vars(Recipe())
    always = ("model", "data", "epochs", "seed")
    given = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in recipe.items()
        if name in always or (name != "validation" and value != default.get(name))
    ]
    return "minicnn train " + " ".join(given)


def _most_confused(confusion: np.ndarray, names: list[str]) -> str:
    wrong = confusion - np.diag(np.diag(confusion))
    if not wrong.any():
        return "Nothing is confused."
    true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return (
        f"Rows are true, columns predicted classes. Most often confused: {names[true]} taken for {names[predicted]}, "
        f"{wrong[true, predicted]:,} times."
    )


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02} min"
