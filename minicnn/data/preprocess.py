"""How a raw image becomes network input: size, channels, padding, scale, mean and standard deviation."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from operator import index
from typing import Any, Self

import numpy as np

from minicnn.data.images import read_image
from minicnn.data.stored import Images, StoredImages
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.kernels import memory
from minicnn.kernels.choice import is_reference

# What a network takes, (C, H, W); None leaves the number of channels to the images.
InputShape = tuple[int | None, int, int]

_POOLED = 16 << 20  # bytes of input up to which the memory comes from the pool
_CHUNK = 1000  # images counted at a time: bincount needs eight bytes a pixel


@dataclass(frozen=True)
class Preprocessing:
    """The frozen description of how raw uint8 images become network input.

        y = (x / 255 - mean) / std        per channel, on x with `padding` black pixels on every side

    image_size (H, W): of the raw image.    channels: 1 (grey) or 3 (RGB); grey is repeated for 3.
    padding P: black pixels added on every side, so the input is (channels, H + 2P, W + 2P).
    mean, std: one number a channel, for pixels scaled to [0, 1]; left out they are 0 and 1.

    `to_dict` and `from_dict` store it in a run's config.json, so that a network meets new pictures
    prepared just as its training images were. Raises ConfigError when a value makes no sense.
    """

    image_size: tuple[int, int]
    channels: int = 1
    padding: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        try:
            height, width = (index(side) for side in self.image_size)
            channels, padding = index(self.channels), index(self.padding)
            mean = tuple(float(m) for m in self.mean) or (0.0,) * channels
            std = tuple(float(s) for s in self.std) or (1.0,) * channels
        except (TypeError, ValueError) as error:
            raise ConfigError(
                "image_size must be (height, width), channels and padding whole numbers, mean and std tuples of "
                f"numbers; got {self}"
            ) from error
        if min(height, width) < 1:
            raise ConfigError(f"image_size must be (height, width) in pixels, got {self.image_size}")
        if channels not in (1, 3):
            raise ConfigError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
        if padding < 0:
            raise ConfigError(f"padding must be 0 or more pixels, got {padding}")
        # Plain numbers, for JSON; a frozen dataclass can set its own fields only this way.
        plain = {
            "image_size": (height, width),
            "channels": channels,
            "padding": padding,
            "mean": mean,
            "std": std,
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels or not np.isfinite(values).all():
                raise ConfigError(f"{name} must be {self.channels} finite number(s), got {values}")
        if min(self.std) <= 0:
            raise ConfigError(f"std must be positive, got {self.std}")

    @classmethod
    def from_training_images(cls, images: Images, *, input_shape: InputShape | None = None) -> Self:
        """The description whose mean and std are those of uint8 training images, padding not counted.

        images (N, H, W) or (N, C, H, W), uint8. input_shape (C, H, W): what the network takes, by default
        the images' own; larger images are made by even padding, three channels by repeating grey.
        C = None is the images' own number of channels.
        A channel of one single value gets std 1. Raises ConfigError when input_shape cannot be reached.
        """
        images = to_nchw(images)
        own_channels, height, width = images.shape[1:]
        channels, padding = own_channels, 0
        if input_shape is not None:
            channels, padding = _fit((own_channels, height, width), input_shape)
        plain = cls((height, width), own_channels)
        plain.check(images)
        mean, std = _statistics(images)
        repeat = channels // own_channels
        return cls((height, width), channels, padding, mean * repeat, std * repeat)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network gets."""
        height, width = self.image_size
        return self.channels, height + 2 * self.padding, width + 2 * self.padding

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Raw uint8 images (N, H, W) or (N, C, H, W) -> network input, float32 (N, C, H + 2P, W + 2P).

        C is `channels`, or 1 in the raw images, which is repeated. The result is always a new array.
        Raises DTypeError when the images are not uint8, ShapeError when their size is not `image_size`.
        """
        images = to_nchw(images)
        return self.pick(images, np.arange(len(images)))

    def pick(self, images: Images, rows: np.ndarray) -> np.ndarray:
        """The same of `images[rows]`, images (M, C, H, W), without a copy of those."""
        self.check(images)
        if is_reference():
            return self._definition(images[rows])
        if _is_readable_in_place(images) and (y := self._normalized(images, rows)) is not None:
            return y
        # Also where rows count from the end, or run over it: NumPy knows what to do and to say.
        images = np.require(images[rows], requirements=["C", "W"])
        y = self._normalized(images, np.arange(len(images)))
        assert y is not None  # every row is one of them
        return y

    def _normalized(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """`pick` by the kernel, of images that it can read; None where a row is not one of them."""
        shape = (len(rows), *self.input_shape)
        # A batch's memory is used again once nobody holds the batch; fresh pages would cost more than the work.
        small = 4 * math.prod(shape) <= _POOLED
        y = memory.empty(shape) if small else np.empty(shape, np.float32)
        return y if _kernel()(images, rows, *self._affine, self.padding, y) else None

    def _definition(self, images: np.ndarray) -> np.ndarray:
        scale, shift = (v[:, np.newaxis, np.newaxis] for v in self._affine)
        return self._pad(images).astype(np.float32) * scale - shift

    def check(self, images: Images) -> None:
        """Raises unless the images (N, C, H, W) are what this description is for."""
        if images.dtype != np.uint8:
            raise DTypeError(
                f"preprocessing expects raw uint8 images (0 to 255), got {images.dtype}: "
                "give the raw images, or use float images without preprocessing"
            )
        if images.shape[2:] != self.image_size or images.shape[1] not in (1, self.channels):
            height, width = self.image_size
            raise ShapeError(
                f"preprocessing for {height}x{width} images with {self.channels} channel(s) "
                f"got {_words(images.shape)}"
            )

    def read_image(self, path: str | os.PathLike[str]) -> np.ndarray:
        """The PNG or JPEG as a batch of one raw image, uint8 (1, C, H, W), scaled to `image_size`.

        The network takes `preprocessing(preprocessing.read_image(path))`. What is done with colour,
        transparency and orientation, and what is raised, says `minicnn.data.read_image`.
        """
        return read_image(path, self.image_size, self.channels)[np.newaxis]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON; floats keep every digit."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The description that `to_dict` wrote. Raises ConfigError when it is not one."""
        known = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping) or "image_size" not in values or not set(values) <= set(known):
            raise ConfigError(
                f"not a description of preprocessing: expected {', '.join(known)}, got {values!r:.200}"
            )
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"not a description of preprocessing: {error}") from error

    def _pad(self, images: np.ndarray) -> np.ndarray:
        """Raw images (N, C, H, W) with black around them."""
        if self.padding == 0:
            return images
        pad, (height, width) = self.padding, self.image_size
        padded = np.zeros((*images.shape[:2], *self.input_shape[1:]), np.uint8)
        padded[:, :, pad : pad + height, pad : pad + width] = images
        return padded

    @cached_property
    def _affine(self) -> tuple[np.ndarray, np.ndarray]:
        """y = x * scale - shift, each (C,): computed in float64, rounded once."""
        mean, std = np.array(self.mean), np.array(self.std)
        scale, shift = 1 / (255 * std), mean / std
        return scale.astype(np.float32), shift.astype(np.float32)


@lru_cache
def _kernel() -> Any:
    """Imported late: it brings Numba."""
    from minicnn.kernels.cpu.normalize import normalize

    return normalize


def to_nchw(images: Any) -> Any:
    """Images (N, H, W) or (N, C, H, W) as (N, C, H, W), without a copy.

    Raises ShapeError for another rank, and for what looks like NHWC.
    """
    if not isinstance(images, StoredImages):
        images = np.asarray(images)
    if images.ndim == 3:
        return images[:, np.newaxis]
    if images.ndim == 2:
        raise ShapeError(
            f"images must be (N, H, W) or (N, C, H, W), got {images.shape}: "
            "rows of pixels are made into images by images.reshape(-1, 1, H, W)"
        )
    if images.ndim != 4:
        raise ShapeError(f"images must be (N, H, W) or (N, C, H, W), got {images.shape}")
    _, channels, height, last = images.shape
    if last in (1, 3, 4) and channels > 4 and height > 4:
        raise ShapeError(
            f"images must be (N, C, H, W), got {images.shape}: "
            "this looks like NHWC; use images.transpose(0, 3, 1, 2)"
        )
    return images


def _is_readable_in_place(images: Images) -> bool:
    """Whether the kernel takes these images as they lie: to Numba a read-only array is another type."""
    return isinstance(images, np.ndarray) and images.flags.c_contiguous and images.flags.writeable


def _fit(own: tuple[int, int, int], wanted: InputShape) -> tuple[int, int]:
    """(channels, padding) that make images of shape `own` into input of shape `wanted`, both (C, H, W)."""
    if len(wanted) != 3:
        raise ConfigError(f"input_shape must be (channels, height, width), got {wanted}")
    channels = own[0] if wanted[0] is None else wanted[0]
    if channels != own[0] and not (own[0] == 1 and channels == 3):
        raise ConfigError(f"images with {own[0]} channel(s) cannot be made into {channels} channel(s)")
    more_rows, more_columns = wanted[1] - own[1], wanted[2] - own[2]
    if more_rows != more_columns or more_rows < 0 or more_rows % 2:
        raise ConfigError(
            f"{own[1]}x{own[2]} images cannot be padded evenly to {wanted[1]}x{wanted[2]}: "
            f"try {own[1]}x{own[2]} or {own[1] + 4}x{own[2] + 4}, or resize the images first"
        )
    return channels, more_rows // 2


def _statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std a channel of uint8 images (N, C, H, W), scaled to [0, 1].

    Counted exactly, as a histogram of the 256 values, so they are the same on every machine.
    """
    values = np.arange(256)
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        for channel, own in enumerate(counts):
            own += np.bincount(chunk[:, channel].ravel(), minlength=256)
    means, stds = [], []
    for own in counts:
        n, total, squares = int(own.sum()), int(own @ values), int(own @ values**2)
        if n == 0:
            raise ShapeError("mean and std need at least one training image, got none")
        means.append(total / n / 255)
        stds.append(math.sqrt(n * squares - total**2) / n / 255 or 1.0)  # exact integers under the root
    return tuple(means), tuple(stds)


def _words(shape: tuple[int, ...]) -> str:
    return f"images {shape[2]}x{shape[3]} with {shape[1]} channel(s)"
