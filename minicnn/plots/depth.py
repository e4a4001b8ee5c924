"""What happens from the first layer to the last: sizes of numbers, and time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.plots.style import BLUE, ORANGE, Picture, new_picture


def by_depth(
    names: Sequence[str],
    activations: Sequence[float],
    gradients: Sequence[float],
    update_ratios: Sequence[float],
) -> Picture:
    """Standard deviation of each layer's output and of its gradient, and |update| / |weight|, on log scales.

    One number a layer, in order of depth; nan where a layer has none (pooling has no weights).
    """
    figure = new_picture(8.5, 6)
    top, bottom = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(names))
    for values, color, label in (
        (activations, BLUE, "output (forward)"),
        (gradients, ORANGE, "gradient (backward)"),
    ):
        top.plot(places, _positive(values), "o-", color=color, label=label)
    top.set(yscale="log", ylabel="standard deviation", title="numbers by depth")
    top.legend(frameon=False)
    bottom.bar(places, _positive(update_ratios), color=BLUE)
    bottom.axhspan(1e-4, 1e-2, color="#009E73", alpha=0.15, label="usual")
    bottom.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    bottom.set(yscale="log", ylabel="|update| / |weight|", xticks=places)
    bottom.set_xticklabels(names, rotation=45, ha="right", rotation_mode="anchor")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def layer_timings(names: Sequence[str], forward: Sequence[float], backward: Sequence[float]) -> Picture:
    """Milliseconds of each layer's forward and backward, side by side, the first layer at the top."""
    figure = new_picture(7, 1.2 + 0.32 * len(names))
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.barh(places, forward, color=BLUE, label="forward")
    axes.barh(places, backward, left=forward, color=ORANGE, label="backward")
    axes.set(yticks=places, xlabel="milliseconds a batch")
    axes.set_yticklabels(names)
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _positive(values: Sequence[float]) -> np.ndarray:
    """A log scale has no zero: leave those out."""
    array = np.asarray(values, float)
    return np.where(array > 0, array, np.nan)
