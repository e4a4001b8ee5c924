"""The input as the network sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import BLUE, Picture, new_picture


def network_input(x: np.ndarray, labels: np.ndarray, class_names: Sequence[str] | None = None) -> Picture:
    """The first eight images of a batch, after all preprocessing, with their labels, and how their numbers lie.

    x (N, C, H, W): what the network is given, so brightness is stretched from the smallest number to the
    largest; of channels other than one or three the first is shown. labels (N,).
    """
    if x.ndim != 4 or len(x) == 0 or len(x) != len(labels):
        raise ShapeError(f"a batch is x (N, C, H, W) and labels (N,), got {x.shape} and {np.shape(labels)}")
    count = min(8, len(x))
    figure = new_picture(12, 4.2)
    parts: Any = figure.subfigures(1, 2, width_ratios=(2, 1))
    pictures, numbers = parts
    grid = pictures.subplots(2, 4, squeeze=False).flat
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    for axes in grid:
        axes.set_axis_off()
    for axes, image, label in zip(pictures.axes, x[:count], labels[:count]):
        shown = (image - low) / ((high - low) or 1.0)
        shown = shown.transpose(1, 2, 0) if len(image) == 3 else shown[0]
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(str(label) if class_names is None else class_names[int(label)], fontsize=9)
    axes = numbers.subplots()
    axes.hist(x[np.isfinite(x)].ravel()[:200_000], bins=60, color=BLUE)
    axes.set(
        yscale="log",
        xlabel="value",
        ylabel="how often",
        title=f"{low:.3g} to {high:.3g}\nmean {np.nanmean(x):.2g}, deviation {np.nanstd(x):.2g}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
