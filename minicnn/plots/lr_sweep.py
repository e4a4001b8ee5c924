"""The learning-rate sweep: where the loss falls, and where it leaves."""

from __future__ import annotations

from typing import Any

from minicnn.plots.style import BLUE, GREEN, GREY, RED, Picture, new_picture


def lr_sweep(result: Any) -> Picture:
    """Loss against learning rate on a log scale, of a train.LearningRates; its suggestion is marked."""
    figure = new_picture(6.4, 4)
    axes = figure.subplots()
    axes.plot(result.lrs, result.losses, color=GREY, alpha=0.4, linewidth=1, label="loss of each batch")
    axes.plot(result.lrs, result.smoothed, color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(result.suggestion, color=GREEN, linestyle="--", label=f"suggestion {result.suggestion:.1g}")
    if result.diverged_at is not None:
        axes.axvline(result.diverged_at, color=RED, linestyle=":", label=f"left at {result.diverged_at:.1g}")
    # One batch of a diverging training would squeeze all the rest into a line.
    low, first = min(result.smoothed), result.smoothed[0]
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="learning-rate sweep")
    axes.set_ylim(0.9 * min(low, *result.losses), 1.1 * max(first, min(max(result.smoothed), 2 * first)))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    return figure
