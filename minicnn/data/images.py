"""A picture file as pixels: any size, colour and common format, decoded by Pillow."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_PILLOW_MODE = {1: "L", 3: "RGB"}


def read_image(path: str | os.PathLike[str], size: tuple[int, int], channels: int) -> np.ndarray:
    """The picture as uint8 (channels, H, W), scaled to size = (H, W).

    Grey, colour, palette, 16-bit and CMYK pictures become grey (channels=1, ITU-R 601 luma) or RGB
    (channels=3); the camera's orientation (EXIF) is applied; transparent parts show black, the background
    of the data sets here. A picture of another size is stretched to fit, bilinear with antialiasing; one
    of the right size keeps its pixels exactly. A JPEG more than twice as large as needed is decoded at a
    half, a quarter or an eighth of its size, which the format can do without the rest.

    Raises DataError, naming the file, when it is missing, no file (a folder, a pipe), of none of the FORMATS, an
    animation, damaged, cut short, or has more pixels than Pillow's limit (PIL.Image.MAX_IMAGE_PIXELS; found out before
    they are decoded).
    """
    from PIL import Image, UnidentifiedImageError
    from PIL.Image import DecompressionBombError

    if channels not in _PILLOW_MODE:
        raise ConfigError(f"an image can be read with 1 channel (grey) or 3 (RGB), got {channels}")
    path = Path(path)
    height, width = size
    try:
        _check_is_file(path)
        with Image.open(path, formats=FORMATS) as file:
            _check_pixels(file, path)
            _check_still(file, path)
            file.draft(None, (2 * max(size), 2 * max(size)))  # JPEG alone
            image = _to_mode(file, _PILLOW_MODE[channels])
            pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"image file {path} does not exist") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} {_what_is_it(path)}: expected {_formats()}") from error
    except DecompressionBombError as error:  # Pillow's own refusal, from twice its limit on
        count = re.search(r"\d+", str(error))
        raise DataError(_too_large(path, f"{int(count[0]):,}" if count else "far too many")) from error
    except Exception as error:  # a damaged file makes Pillow raise nearly anything, SyntaxError too
        if isinstance(error, OSError) and error.errno is not None:  # the system's refusal, not Pillow's
            raise DataError(f"image file {path} cannot be read: {error.strerror}") from error
        raise DataError(
            f"image file {path} cannot be read, it may be damaged or cut short: {error}"
        ) from error
    return np.array(pixels.reshape(height, width, channels).transpose(2, 0, 1), order="C")


def _check_is_file(path: Path) -> None:
    """Opening a named pipe would wait for ever for somebody to write into it."""
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        found = "a folder" if kind == stat.S_IFDIR else "a pipe, a device or a socket"
        raise DataError(f"image file {path} is {found}: expected {_formats()}")


def _check_pixels(image: Image, path: Path) -> None:
    from PIL.Image import MAX_IMAGE_PIXELS

    width, height = image.size
    if MAX_IMAGE_PIXELS is not None and width * height > MAX_IMAGE_PIXELS:
        raise DataError(_too_large(path, f"{width} x {height}"))


def _too_large(path: Path, size: str) -> str:
    from PIL.Image import MAX_IMAGE_PIXELS

    return (
        f"image file {path} has {size} pixels, more than the limit of {MAX_IMAGE_PIXELS:,} "
        "(PIL.Image.MAX_IMAGE_PIXELS); make it smaller"
    )


def _check_still(image: Image, path: Path) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(
            f"image file {path} is an animation or a stack of {frames} pictures: save the one that counts as PNG"
        )


def _formats() -> str:
    return f"a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"


def _to_mode(image: Image, mode: str) -> Image:
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip at 255
        image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return image.convert(mode)


def _what_is_it(path: Path) -> str:
    return "is not an image that can be read" if path.stat().st_size else "is empty"
