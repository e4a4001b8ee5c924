"""Precision-recall and ROC curves, one line a class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicnn.errors import DataError
from minicnn.plots.style import GREY, Picture, cut, new_picture

# Okabe & Ito's colours, then the same ones dashed.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC3311", "#56B4E9", "#CC79A7", "#000000")

Curve = tuple[np.ndarray, np.ndarray, float]  # x, y, area


def class_curves(precision_recall: Mapping[str, Curve], roc: Mapping[str, Curve]) -> Picture:
    """Two panels: precision over recall, and finds over false alarms; each class against the rest.

    Every curve is (x, y, area under it); the area is in the legend.
    """
    if not precision_recall:
        raise DataError("there is no class to draw a curve of")
    figure = new_picture(10, 4.6)
    left, right = figure.subplots(1, 2)
    for axes, curves, title, x, y in (
        (left, precision_recall, "precision and recall (area: average precision)", "recall", "precision"),
        (right, roc, "ROC", "false positive rate", "true positive rate (recall)"),
    ):
        for number, (name, (across, up, area)) in enumerate(curves.items()):
            dashed = "-" if number < len(_COLORS) else "--"
            color = _COLORS[number % len(_COLORS)]
            # The space: matplotlib leaves out of the legend what begins with "_".
            axes.plot(across, up, dashed, color=color, linewidth=1.5, label=f" {cut(name, 18)} {area:.3f}")
        axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, loc="lower left" if axes is left else "lower right")
    right.plot([0, 1], [0, 1], ":", color=GREY, linewidth=1)
    return figure
