"""The confusion matrix: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from minicnn.errors import ShapeError
from minicnn.plots.style import Picture, cut, new_picture


def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str] | None = None) -> Picture:
    """Counts (K, K), rows true and columns predicted classes, shaded by the share of the row.

    The counts are written into the squares up to 30 classes.
    """
    confusion = np.asarray(confusion)
    classes = len(confusion) if confusion.ndim else 0
    if classes == 0 or confusion.shape != (classes, classes):
        raise ShapeError(f"a confusion matrix is square, (K, K), got {confusion.shape}")
    names = (
        [str(i) for i in range(classes)] if class_names is None else [cut(name, 24) for name in class_names]
    )
    if len(names) != classes:
        raise ShapeError(f"{len(names)} class names for {classes} classes")
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = max(3.2, 2.2 + 0.52 * classes)
    figure = new_picture(side + 0.9, side)
    figure.set_layout_engine("compressed")  # squares: constrained layout would push the names over the edge
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true", xticks=range(classes), yticks=range(classes))
    axes.set_xticklabels(names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticklabels(names)
    for i, j in zip(*np.nonzero(confusion)) if classes <= 30 else ():
        axes.text(
            j,
            i,
            str(confusion[i, j]),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share[i, j] > 0.5 else "black",
        )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, shrink=min(0.8, 6 / side), format=PercentFormatter(1.0))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure
