"""Draws docs/images/transforms.png: every transform on one picture, six draws of each.

python scripts/make_transform_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minicnn import data
from minicnn.data import transforms as T
from minicnn.plots.images import show_image
from minicnn.plots.style import new_picture

TARGET = Path(__file__).parents[1] / "docs" / "images" / "transforms.png"
COLUMNS = 6


def pictures() -> np.ndarray:
    """A boot in colours of its own, and a shirt to mix it with, uint8 (2, 3, 56, 56). The boot shows what a flip does."""
    mini = data.load("fashion-mnist-mini").train
    chosen = [np.flatnonzero(mini.labels == label)[3] for label in (9, 6)]
    grey = T.resize(mini.images[chosen], (56, 56)).astype(np.float32)
    tint = np.array([[1.0, 0.65, 0.3], [0.35, 0.7, 1.0]], np.float32)
    ramp = np.linspace(0.75, 1.0, 56, dtype=np.float32)[None, None, :, None]  # up and down differ
    return (40 + 0.84 * grey * tint[:, :, None, None] * ramp).clip(0, 255).astype(np.uint8)


def main() -> None:
    pair = pictures()
    rows: list[tuple[str, T.Transform]] = [
        ("Resize((28, 56))", T.Resize((28, 56))),
        ("CenterCrop(40)", T.CenterCrop(40)),
        ("Pad(8)", T.Pad(8)),
        ("RandomCrop(56, padding=8)", T.RandomCrop(56, padding=8)),
        ("RandomResizedCrop(56)", T.RandomResizedCrop(56, scale=(0.2, 1.0))),
        ("RandomHorizontalFlip()", T.RandomHorizontalFlip()),
        ("RandomVerticalFlip()", T.RandomVerticalFlip()),
        ("RandomRotation(30)", T.RandomRotation(30)),
        ("RandomTranslation(0.2)", T.RandomTranslation(0.2)),
        ("RandomScale((0.6, 1.4))", T.RandomScale((0.6, 1.4))),
        ("RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 20)", T.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 20)),
        ("ColorJitter(0.4, 0.4, 0.8, 0.2)", T.ColorJitter(0.4, 0.4, 0.8, 0.2)),
        ("GaussianNoise(0.1)", T.GaussianNoise(0.1)),
        ("GaussianBlur(9, (0.5, 3))", T.GaussianBlur(9, (0.5, 3.0))),
        ("RandomErasing(1.0)", T.RandomErasing(1.0)),
        ("Mixup(2, alpha=1)", T.Mixup(2, alpha=1.0)),
        ("CutMix(2)", T.CutMix(2)),
        ("Normalize(mean, std), darkest to brightest", T.Normalize.from_training_images(pair)),
    ]
    figure = new_picture(9.5, 1.05 * len(rows))
    grid = figure.subplots(len(rows), COLUMNS + 1)
    for line, (name, transform) in zip(grid, rows):
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        show_image(line[0], pair[0])
        for seed, axes in enumerate(line[1:]):
            changed, _ = transform(pair, np.array([0, 1]), np.random.default_rng(seed))
            show_image(axes, changed[0])
    grid[0, 0].set_title("given", fontsize=9)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=75)


if __name__ == "__main__":
    main()
