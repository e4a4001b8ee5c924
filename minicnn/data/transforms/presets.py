"""Augmentation by name: "none", "light", "strong", or a list such as "flip,crop:4,rotate:15,erase:0.25".

flip            mirror left and right, half of the images       vflip      top and bottom
crop:P          shift by up to P pixels (default a sixteenth)     rotate:D   turn by up to D degrees (10)
translate:S     shift by up to the share S (0.1)                scale:S    larger or smaller by up to S (0.1)
shear:D         slant by up to D degrees (10)                   resized:S  random resized crop, area S to 1 (0.5)
jitter:A        brightness, contrast, saturation by A (0.2)     hue:A      hue by A (0.05)
noise:S         Gaussian noise, S of white (0.03)               blur:S     blur by up to S pixels (1)
erase:P         random erasing, with probability P (0.25)
mixup:A         mixup with alpha A (0.2)                        cutmix:A   cutmix with alpha A (1)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from minicnn.data.transforms.base import Transform
from minicnn.data.transforms.blur import GaussianBlur, GaussianNoise
from minicnn.data.transforms.color import ColorJitter
from minicnn.data.transforms.compose import Compose
from minicnn.data.transforms.crop import RandomCrop, RandomResizedCrop
from minicnn.data.transforms.erasing import RandomErasing
from minicnn.data.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from minicnn.data.transforms.geometry import RandomAffine, RandomRotation, RandomScale, RandomTranslation
from minicnn.data.transforms.mix import CutMix, Mixup
from minicnn.errors import ConfigError, nearest

PRESETS = {
    "none": "",
    "light": "flip,crop",
    "strong": "flip,crop,rotate:10,scale:0.1,jitter:0.2,erase:0.25",
}

Shape = tuple[int, int, int]
# Name -> (default value, what makes the transform from value, (C, H, W) and the number of classes).
_MAKERS: dict[str, tuple[float, Callable[[float, Shape, int], Transform]]] = {
    "flip": (0.5, lambda v, shape, k: RandomHorizontalFlip(v)),
    "vflip": (0.5, lambda v, shape, k: RandomVerticalFlip(v)),
    "crop": (
        -1,
        lambda v, shape, k: RandomCrop(shape[1:], _whole(v) if v >= 0 else max(1, min(shape[1:]) // 16)),
    ),
    "rotate": (10, lambda v, shape, k: RandomRotation(v)),
    "translate": (0.1, lambda v, shape, k: RandomTranslation(v)),
    "scale": (0.1, lambda v, shape, k: RandomScale((1 - v, 1 + v))),
    "shear": (10, lambda v, shape, k: RandomAffine(0, shear=v)),
    "resized": (0.5, lambda v, shape, k: RandomResizedCrop(shape[1:], scale=(v, 1.0))),
    "jitter": (0.2, lambda v, shape, k: ColorJitter(v, v, v if shape[0] == 3 else 0)),
    "hue": (0.05, lambda v, shape, k: ColorJitter(hue=v)),
    "noise": (0.03, lambda v, shape, k: GaussianNoise(v)),
    "blur": (1.0, lambda v, shape, k: GaussianBlur(2 * math.ceil(2 * v) + 1, (0.1, max(v, 0.1)))),
    "erase": (0.25, lambda v, shape, k: RandomErasing(v)),
    "mixup": (0.2, lambda v, shape, k: Mixup(k, v)),
    "cutmix": (1.0, lambda v, shape, k: CutMix(k, v)),
}
MIXING = ("mixup", "cutmix")


def augmentation(spec: str, shape: Shape, num_classes: int) -> Compose | None:
    """The transform that a preset or a list names, for images (C, H, W); None for "none".

    Raises ConfigError with the nearest name for an unknown one.
    """
    items = parse(spec)
    if not items:
        return None
    return Compose([_MAKERS[name][1](value, shape, num_classes) for name, value in items])


def mixes_labels(spec: str) -> bool:
    """Whether labels become shares, so that the loss must take them."""
    return any(name in MIXING for name, _ in parse(spec))


def parse(spec: str) -> list[tuple[str, float]]:
    """(name, value) of every transform of a preset or a list."""
    items = []
    for item in filter(None, (part.strip() for part in PRESETS.get(spec.strip().lower(), spec).split(","))):
        name, _, given = item.partition(":")
        if name not in _MAKERS:
            raise ConfigError(f"unknown augmentation {name!r}: {nearest(name, [*PRESETS, *_MAKERS])}")
        try:
            value = float(given) if given else _MAKERS[name][0]
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (given and value < 0):
            raise ConfigError(f"augmentation {item!r}: expected a number from 0 up after {name}:")
        items.append((name, value))
    return items


def _whole(value: float) -> int:
    if value != int(value):
        raise ConfigError(f"augmentation crop:{value:g}: expected a whole number of pixels")
    return int(value)
