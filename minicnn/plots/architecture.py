"""Networks drawn: every step a box as high as its feature map is, and as wide as it has channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib.patches import Rectangle

from minicnn.errors import ConfigError
from minicnn.models.catalog import architecture
from minicnn.models.measure import weightless
from minicnn.models.outline import outline
from minicnn.plots.style import BLUE, GREEN, GREY, ORANGE, RED, Picture, new_picture

# What a step's description begins with -> its colour.
COLORS = {
    "convolution": BLUE,
    "max pooling": GREY,
    "average": GREY,
    "fully connected": ORANGE,
    "dense block": RED,
}
LEGEND = {
    "convolution": BLUE,
    "residual, inception": GREEN,
    "dense block": RED,
    "pooling": GREY,
    "fully connected": ORANGE,
}


def architectures(networks: Mapping[str, Sequence[Any]], title: str = "") -> Picture:
    """A row for each network: name -> steps, as minicnn.models.outline.outline tells them.

    Heights and widths are on logarithmic scales. Above a box stand its channels, and below it its height
    where that changes; "×3" means three such blocks in a row.
    """
    if not networks or not all(networks.values()):
        raise ConfigError("architectures needs at least one network, and every network at least one step")
    longest = max(_length(steps) for steps in networks.values())
    figure = new_picture(max(6.0, 0.42 * longest + 1.5), 1.45 * len(networks) + 0.5)
    rows = figure.subplots(len(networks), 1, squeeze=False)[:, 0]
    for axes, (name, steps) in zip(rows, networks.items()):
        _row(axes, steps)
        axes.set(xlim=(-0.4, longest), ylim=(-0.2, 1.25))
        axes.set_title(name, loc="left", fontsize=10, fontweight="bold", pad=0)
        axes.set_axis_off()
    used = {_color(step.what) for steps in networks.values() for step in steps}
    legend = {kind: color for kind, color in LEGEND.items() if color in used}
    handles = [Rectangle((0, 0), 1, 1, color=color, alpha=0.75) for color in legend.values()]
    figure.legend(
        handles, list(legend), loc="outside lower center", ncols=len(legend), frameon=False, fontsize=8
    )
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _row(axes: Any, steps: Sequence[Any]) -> None:
    x, side_before = 0.0, None
    for step in steps:
        channels, *sides = step.output_shape
        side = sides[0] if sides else 1
        width, height = _width(step), 0.12 + math.log2(side + 1) / 8
        axes.add_patch(
            Rectangle((x, 0.5 - height / 2), width, height, color=_color(step.what), alpha=0.75, linewidth=0)
        )
        middle = x + width / 2
        axes.text(middle, 0.54 + height / 2, f"{channels}", ha="center", va="bottom", fontsize=6.5)
        if step.times > 1:
            axes.text(
                middle,
                0.5,
                f"×{step.times}",
                ha="center",
                va="center",
                fontsize=7,
                color="white",
                fontweight="bold",
            )
        if side != side_before:
            axes.text(middle, 0.44 - height / 2, f"{side}", ha="center", va="top", fontsize=6.5, color=GREY)
        side_before = side
        x += width + 0.18


def _width(step: Any) -> float:
    return 0.12 * math.log2(step.output_shape[0] + 1) * (1.5 if step.times > 1 else 1.0) * 0.8


def _length(steps: Sequence[Any]) -> float:
    return sum(_width(step) + 0.18 for step in steps) + 0.4


def _color(what: str) -> str:
    return next((color for beginning, color in COLORS.items() if what.startswith(beginning)), GREEN)


def draw_network(name: str | None, path: str | PathLike[str]) -> None:
    """Write a picture of the network of that name. Raises ConfigError without a name or for a file that is no picture."""
    if name is None:
        raise ConfigError("--draw needs the name of a network: minicnn models resnet18 --draw resnet18.png")
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"--draw writes .png, .svg or .pdf, got {str(path)!r}")
    steps = outline(weightless(name), architecture(name).input_shape)
    architectures({name: steps}).savefig(path, dpi=110)
