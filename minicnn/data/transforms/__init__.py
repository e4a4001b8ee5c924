"""Transforms: batches of images changed on the way to the network. docs/data.md shows each with a picture."""

from minicnn.data.transforms.base import Transform
from minicnn.data.transforms.blur import GaussianBlur, GaussianNoise
from minicnn.data.transforms.color import ColorJitter
from minicnn.data.transforms.compose import Compose
from minicnn.data.transforms.crop import CenterCrop, Pad, RandomCrop, RandomResizedCrop
from minicnn.data.transforms.erasing import RandomErasing
from minicnn.data.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from minicnn.data.transforms.geometry import (
    RandomAffine,
    RandomRotation,
    RandomScale,
    RandomTranslation,
    affine_maps,
    rotate,
)
from minicnn.data.transforms.mix import CutMix, Mixup, one_hot
from minicnn.data.transforms.normalize import Normalize
from minicnn.data.transforms.presets import PRESETS, augmentation
from minicnn.data.transforms.resize import Resize, resize
from minicnn.data.transforms.sampling import affine, crop

__all__ = [
    "PRESETS",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "GaussianBlur",
    "GaussianNoise",
    "Mixup",
    "Normalize",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomScale",
    "RandomTranslation",
    "RandomVerticalFlip",
    "Resize",
    "Transform",
    "affine",
    "affine_maps",
    "augmentation",
    "crop",
    "one_hot",
    "resize",
    "rotate",
]
