"""Draw docs/images/ladder.png: what limits each version of the ladder: python scripts/make_ladder_picture.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minicnn.kernels.cuda.ladder.steps import CONV, H100, MATMUL, Step
from minicnn.plots.style import BLUE, GREY, ORANGE, new_picture

PATH = Path(__file__).parents[1] / "docs" / "images" / "ladder.png"
# What a multiply-add costs, in units of the GPU's arithmetic: 1 is the peak.
ROOFS = (("arithmetic", GREY), ("global memory", BLUE), ("shared memory", ORANGE))


def costs(step: Step) -> tuple[float, float, float]:
    """The times that the model takes the largest of, as multiples of the arithmetic's."""
    unit = 2 / H100.flops
    return 1.0, 4 * step.global_reads / H100.memory / unit, 4 * step.shared_reads / H100.shared / unit


def panel(axes: Any, steps: tuple[Step, ...], title: str) -> None:
    places = np.arange(len(steps))
    for i, (name, colour) in enumerate(ROOFS):
        values = [costs(step)[i] for step in steps]
        axes.barh(places + 0.26 * (i - 1), values, height=0.24, color=colour, label=name)
    for place, step in zip(places, steps):
        slowest = max(costs(step))
        axes.text(1.1 * slowest, place, f"{1 / slowest:.1%} of the peak", va="center", fontsize=8)
    axes.set_yticks(places, [f"{step.kernel}\n{step.idea}" for step in steps], fontsize=8)
    axes.invert_yaxis()
    axes.set(
        xscale="log", xlim=(0.2, 6000), title=title, xlabel="time of a multiply-add; 1 is the arithmetic's"
    )
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def main() -> None:
    picture = new_picture(11, 4.9)
    left, right = picture.subplots(1, 2)
    panel(left, MATMUL, "matrix product")
    panel(right, CONV, "convolution 3 x 3")
    picture.legend(*right.get_legend_handles_labels(), fontsize=9, loc="outside lower center", ncols=3)
    picture.suptitle(
        f"What limits each version on an {H100.name}: the longest bar (a model, without caches)", fontsize=11
    )
    PATH.parent.mkdir(exist_ok=True)
    picture.savefig(PATH, dpi=100)


if __name__ == "__main__":
    main()
