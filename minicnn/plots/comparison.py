"""Runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minicnn.errors import DataError
from minicnn.plots.style import Picture, new_picture

# Okabe & Ito's eight colours, the black last.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#000000")


def compared_curves(runs: Mapping[str, Mapping[str, Sequence[float]]]) -> Picture:
    """Training loss, validation loss and validation accuracy of runs by name, over their epochs.

    runs: name -> {"epoch": ..., "train_loss": ..., "validation_loss": ..., "validation_accuracy": ...}, nan
    where a figure is missing. From the ninth run on lines are dashed. A line that later ones cover, as the same
    seed makes them, is wider, and so seen on both sides of them.
    """
    if not runs:
        raise DataError("there is no run to compare")
    panels = {
        "train_loss": "training loss",
        "validation_loss": "validation loss",
        "validation_accuracy": "validation accuracy",
    }
    figure = new_picture(13, 4.2 + 0.12 * len(runs))
    for axes, (column, title) in zip(figure.subplots(1, 3), panels.items()):
        curves = [np.asarray(columns[column], float) for columns in runs.values()]
        for number, (name, columns) in enumerate(runs.items()):
            curve = curves[number]
            covering = sum(np.array_equal(curve, later, equal_nan=True) for later in curves[number + 1 :])
            axes.plot(
                columns["epoch"],
                curve,
                color=_COLORS[number % 8],
                linestyle="-" if number < 8 else "--",
                marker="o",
                markersize=3,
                linewidth=1.6 + 2.4 * min(covering, 3),
                label=name,
            )
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if column.endswith("accuracy"):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=min(4, len(runs)), frameon=False)
    return figure
