"""A contact sheet: a row of small pictures for every class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.images import show_image
from minicnn.plots.style import Picture, cut, new_picture


def contact_sheet(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Picture:
    """A row a class, with its name; images (N, C, H, W) uint8, labels (N,). Classes without images are left out."""
    if not len(images) or len(images) != len(labels):
        raise ShapeError(
            f"a contact sheet needs images with a label each, got {len(images)} and {len(labels)}"
        )
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    columns = max(map(len, rows))
    figure = new_picture(1.4 + 0.9 * columns, 0.3 + 0.95 * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for line, members in zip(grid, rows):
        name = class_names[labels[members[0]]]
        line[0].set_ylabel(cut(name, 18), rotation=0, ha="right", va="center", fontsize=9)
        for axes, member in zip(line, members):
            show_image(axes, images[member])
    return figure
