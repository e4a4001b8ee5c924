"""The result of a search: accuracy against each setting that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from minicnn.plots.style import BLUE, ORANGE, Picture, new_picture


def sweep_results(
    settings: Sequence[Mapping[str, Any]], means: Sequence[float], stds: Sequence[float]
) -> Picture:
    """One panel a setting: validation accuracy (mean and deviation over repeats) of each trial, the best marked."""
    names = list(settings[0]) if settings else []
    figure = new_picture(max(4.2 * len(names), 4.2), 3.8)
    best = int(np.nanargmax(means))
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names):
        values = [trial[name] for trial in settings]
        axes.errorbar(values, means, yerr=stds, fmt="o", color=BLUE, capsize=2)
        axes.plot([values[best]], [means[best]], "*", color=ORANGE, markersize=16, zorder=3)
        numbers = [value for value in values if isinstance(value, (int, float))]
        # Rates are looked for by factors; of other numbers only those that span several.
        factor = 1 if name in ("lr", "weight_decay") else 8
        if len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) > factor:
            axes.set_xscale("log")
        axes.tick_params(axis="x", which="both", labelrotation=30)
        axes.set(xlabel=name.replace("_", " "), ylabel="validation accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
