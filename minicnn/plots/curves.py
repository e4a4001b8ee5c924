"""Learning curves: loss and accuracy, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minicnn.errors import DataError
from minicnn.plots.style import BLUE, GREY, ORANGE, Picture, new_picture


def learning_curves(history: Any, best_epoch: int | None = None) -> Picture:
    """Training and validation loss and accuracy over the epochs of a train.History.

    best_epoch: marked by a dotted line. Panels and lines without figures are left out. The
    validation curve may lie above the training curve at first: it is measured after the epoch,
    and the training figures while the weights were still changing.
    """
    if not history:
        raise DataError("the history is empty: train for an epoch first")
    panels = [
        (what, history.column(f"train_{what}"), history.column(f"validation_{what}"))
        for what in ("loss", "accuracy")
    ]
    panels = [panel for panel in panels if not np.isnan(panel[1]).all()]
    figure = new_picture(5 * len(panels), 4)
    epochs = history.column("epoch")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (what, training, validation) in zip(grid, panels):
        dots = {"marker": "o", "markersize": 3, "clip_on": False}
        axes.plot(epochs, training, color=BLUE, label="training (mean over the epoch)", **dots)
        if not np.isnan(validation).all():
            axes.plot(epochs, validation, color=ORANGE, label="validation (after the epoch)", **dots)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best weights (epoch {best_epoch})")
        axes.set(xlabel="epoch", title=what, xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if what == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        else:
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    # One legend for both panels, outside: inside it would hide the curves sooner or later.
    lines, labels = grid[0].get_legend_handles_labels()
    stacked = len(panels) == 1
    figure.legend(lines, labels, loc="outside lower center", ncols=1 if stacked else 3, frameon=False)
    return figure
