"""The depth experiment: does a deeper network do worse, and does a shortcut help?

He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", section 4.2 and figure 6,
in small: plain and residual networks of 20 and 56 layers, half the channels, 2,000 grey images of
Fashion-MNIST in 14x14. Run by `python -m benchmarks.architectures depth`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures import IMAGES, fashion
from minicnn import data, losses, models, optim, schedules, train
from minicnn.plots.style import BLUE, ORANGE, Picture, new_picture

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")
OPTIONS: dict[str, Any] = {"width": 1 / 2, "in_channels": 1}
LEARNING_RATE, BATCH = 0.1, 50


def depth(epochs: int) -> None:
    """Train the four with the same recipe and seeds; training and test error after every epoch."""
    training, test = (_halved(dataset) for dataset in fashion(28, 1))
    curves = {name: _train(name, training, test, epochs) for name in NETWORKS}
    results = {
        "images": IMAGES,
        "options": OPTIONS,
        "optimizer": f"SGD {LEARNING_RATE}, momentum 0.9, weight decay 1e-4, cosine, batch {BATCH}",
        "epochs": epochs,
        "curves": curves,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "depth.json").write_text(json.dumps(results, indent=1) + "\n")
    _figure(curves).savefig(RESULTS / "depth.png", dpi=110)


def _figure(curves: dict[str, dict[str, list[float]]]) -> Picture:
    """As in the paper's figure 6: plain networks left, residual ones right, the deep ones bold."""
    figure = new_picture(9, 3.6)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, ("plain", "resnet")):
        for deep, color in (("20", ORANGE), ("56", BLUE)):
            errors = curves[kind + deep]["training_error"]
            epochs = range(1, len(errors) + 1)
            axes.plot(
                epochs, errors, color=color, linewidth=2.5 if deep == "56" else 1.2, label=f"{deep} layers"
            )
        axes.set(
            title="without shortcuts" if kind == "plain" else "with shortcuts", xlabel="epoch", ylim=(0, None)
        )
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("training error (%)")
    panels[0].legend(frameon=False)
    return figure


def _halved(dataset: data.ArrayDataset) -> data.ArrayDataset:
    """28x28 -> 14x14 by averages of 2x2 pixels: a quarter of the work."""
    x, labels = dataset[:]
    n, c, h, w = x.shape
    return data.ArrayDataset(x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5)), labels)


def _train(
    name: str, training: data.ArrayDataset, test: data.ArrayDataset, epochs: int
) -> dict[str, list[float]]:
    model = models.build(name, num_classes=10, rng=np.random.default_rng(1), **OPTIONS)
    optimizer = optim.SGD(model, lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    batches = data.Loader(training, BATCH, shuffle=True, rng=np.random.default_rng(2))
    schedule = schedules.CosineAnnealingLR(optimizer, T_max=epochs * len(batches), steps_by="batch")
    trainer = train.Trainer(model, losses.CrossEntropyLoss(), optimizer, schedule)
    curve: dict[str, list[float]] = {"training_error": [], "test_error": []}
    for epoch in range(epochs):
        trainer.fit(batches, epochs=1)
        # Of the running epoch, as in the paper: with batch norm's statistics of the batch.
        curve["training_error"].append(100 * (1 - trainer.history[-1].train_accuracy))
        if epoch % 5 == 4 or epoch == epochs - 1:
            curve["test_error"].append(100 * (1 - trainer.evaluate(test).accuracy))
    print(name, [round(value, 1) for values in curve.values() for value in values], flush=True)
    return curve
