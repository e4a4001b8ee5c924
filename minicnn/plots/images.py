"""Sheets of small pictures: predictions with the mistakes marked, and filters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import GREEN, RED, Picture, cut, new_picture


def predictions(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str] | None = None,
    *,
    rows: int = 4,
    columns: int = 8,
    mistakes_first: bool = True,
    title: str | None = None,
) -> Picture:
    """A sheet of images with the predicted class and its probability.

    images (N, C, H, W), grey or RGB, raw uint8 or floats; labels (N,); probabilities (N, K). A
    right prediction has a green frame; a mistake a red one, and the true class below. Half of
    the sheet is for mistakes, the surest first, where there are that many (mistakes_first=False:
    simply the first images). Rows that would stay empty are left out. title: instead of the count of
    mistakes.
    """
    if not len(images) == len(labels) == len(probabilities):
        raise ShapeError(
            f"{len(images)} images, {len(labels)} labels, {len(probabilities)} rows of probabilities"
        )
    if len(images) == 0:
        raise ShapeError("there is no image to show")
    classes = probabilities.shape[1]
    names = (
        [str(i) for i in range(classes)] if class_names is None else [cut(name, 15) for name in class_names]
    )
    if len(names) != classes:
        raise ShapeError(f"{len(names)} class names for {classes} classes")
    predicted = probabilities.argmax(axis=1)
    shown = (
        _choose(labels, probabilities, rows * columns)
        if mistakes_first
        else range(min(len(labels), rows * columns))
    )
    rows = -(-len(shown) // columns)
    figure = new_picture(1.35 * columns, 0.4 + 1.75 * rows)
    mistakes = int((predicted != labels).sum())
    if title is None:
        title = f"mistakes: {mistakes:,} of {len(labels):,} images (red frame, the true class below)"
    figure.suptitle(title, fontsize=10, wrap=True)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, shown):
        right = predicted[index] == labels[index]
        show_image(axes, images[index])
        color = GREEN if right else RED
        axes.set_title(
            f"{names[predicted[index]]} {probabilities[index].max():.0%}", color=color, fontsize=8, pad=3
        )
        if not right:
            axes.set_xlabel(f"is {names[labels[index]]}", fontsize=8, labelpad=2)
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=color, linewidth=2)
    return figure


def filters(weight: np.ndarray, *, columns: int = 8) -> Picture:
    """The filters of a convolution, weight (O, C, R, S), as pictures.

    Three input channels are shown as colours; otherwise the mean over the channels in grey.
    All share one scale: mid-grey is 0, white and black are the largest magnitude.
    """
    if weight.ndim != 4:
        raise ShapeError(f"filters expects the weight (O, C, R, S) of a convolution, got {weight.shape}")
    shown = weight if weight.shape[1] == 3 else weight.mean(axis=1, keepdims=True)
    scale = np.abs(shown).max() or 1.0
    return _sheet(0.5 + 0.5 * shown / scale, columns)


def feature_maps(maps: np.ndarray, *, columns: int = 8) -> Picture:
    """What the channels of one image's activation (C, H, W) answer, and where.

    All share one scale: black is the smallest answer, white the largest.
    """
    if maps.ndim != 3:
        raise ShapeError(f"feature_maps expects the activation (C, H, W) of one image, got {maps.shape}")
    low, high = float(maps.min(initial=0)), float(maps.max(initial=0))
    return _sheet((maps[:, None] - low) / ((high - low) or 1.0), columns)


def _sheet(images: np.ndarray, columns: int) -> Picture:
    """Numbered images (N, C, H, W), from 0 to 1, side by side."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = new_picture(1.2 * columns, 1.3 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (index, image) in zip(grid.flat, enumerate(images)):
        show_image(axes, image)
        axes.set_title(str(index), fontsize=8, pad=2)
    return figure


def _choose(labels: np.ndarray, probabilities: np.ndarray, count: int) -> list[int]:
    """Half mistakes, the surest first, then right ones in their own order; fewer of one, more of the other."""
    wrong = probabilities.argmax(axis=1) != labels
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")
    mistakes = [index for index in surest if wrong[index]]
    right = [index for index in range(len(labels)) if not wrong[index]]
    take = min(len(mistakes), max(count // 2, count - len(right)))
    return mistakes[:take] + right[: count - take]


def show_image(axes: object, image: np.ndarray) -> None:
    """One image (C, H, W): uint8 from 0 to 255, floats from 0 to 1; others, as normalised ones, are stretched."""
    if image.ndim != 3 or len(image) not in (1, 3):
        raise ShapeError(f"a picture is (1, H, W), grey, or (3, H, W), RGB, got {image.shape}")
    top = 255 if image.dtype == np.uint8 else 1
    low, high = image.min(), image.max()
    if low < 0 or high > top:
        image = (image - low) / (high - low or 1)
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="nearest")  # type: ignore[attr-defined]
