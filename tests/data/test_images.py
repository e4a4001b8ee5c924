from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minicnn.data import read_image
from minicnn.errors import ConfigError, DataError


def picture(height=6, width=4, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a picture.png"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_right_size_keeps_its_pixels(path, channels):
    pixels = picture(channels=channels)
    path.write_bytes(png(pixels))
    read = read_image(path, (6, 4), channels)
    np.testing.assert_array_equal(read, pixels.reshape(6, 4, channels).transpose(2, 0, 1))
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous


def test_grey_is_repeated_and_colour_becomes_luma(path):
    grey = picture(channels=1)
    path.write_bytes(png(grey))
    np.testing.assert_array_equal(read_image(path, (6, 4), 3), [grey] * 3)
    colour = picture()
    path.write_bytes(png(colour))
    luma = colour @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read_image(path, (6, 4), 1)[0], luma, atol=0.51)


def test_transparency_shows_black(path):
    rgba = picture(channels=4)
    path.write_bytes(png(rgba))
    expected = rgba[..., :3] * (rgba[..., 3:] / 255)
    np.testing.assert_allclose(read_image(path, (6, 4), 3), expected.transpose(2, 0, 1), atol=1)


def test_a_palette_with_a_transparent_colour(path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(path, transparency=0)
    np.testing.assert_array_equal(read_image(path, (1, 2), 3)[:, 0], [[0, 0], [0, 255], [0, 0]])


def test_sixteen_bits_become_eight(path):
    values = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)
    path.write_bytes(png(values))
    np.testing.assert_array_equal(read_image(path, (1, 5), 1)[0], [[0, 0, 1, 100, 255]])


@pytest.mark.parametrize("mode", ["1", "LA", "CMYK", "YCbCr"])
def test_other_kinds_of_pictures_are_read(path, mode):
    image = Image.fromarray(picture(32, 32)).convert(mode)
    image.save(path, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    assert read_image(path, (28, 28), 3).shape == (3, 28, 28)
    assert read_image(path, (28, 28), 1).shape == (1, 28, 28)


def test_the_orientation_of_the_camera_is_applied(path):
    pixels = picture()
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: turn a quarter clockwise
    path.write_bytes(png(pixels, exif=exif))
    np.testing.assert_array_equal(read_image(path, (4, 6), 3).transpose(1, 2, 0), np.rot90(pixels, -1))


def test_any_size_is_scaled(path):
    """One grey value stays that value, and a picture drawn twice as large comes back much as it was."""
    small = picture(8, 8, 1) // 4 * 4
    path.write_bytes(png(np.full((50, 30), 77, np.uint8)))
    np.testing.assert_array_equal(read_image(path, (28, 28), 1), np.full((1, 28, 28), 77))
    path.write_bytes(png(small.repeat(2, 0).repeat(2, 1)))
    assert np.corrcoef(read_image(path, (8, 8), 1).ravel(), small.ravel())[0, 1] > 0.9


def header_of_size(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty: expected a PNG, JPEG, GIF, BMP, WEBP, TIFF or PPM file"),
        (
            b"just some text, called .png",
            "is not an image that can be read: expected a PNG, JPEG, GIF, BMP, WEBP, TIFF or PPM file",
        ),
        (png(picture(64, 64))[:-3000], "may be damaged or cut short"),
        (header_of_size(50_000, 50_000), "has 2,500,000,000 pixels, more than the limit of 89,478,485"),
        (header_of_size(10_000, 10_000), "10000 x 10000 pixels, more than the limit of 89,478,485"),
    ],
    ids=["empty", "text", "truncated", "huge", "large"],
)
def test_a_bad_file_is_named(path, content, text):
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_image(path, (28, 28), 1)
    assert text in str(error.value)
    assert str(path) in str(error.value)


def test_a_gif_is_read_and_an_animation_refused(path):
    frames = [Image.fromarray(picture(channels=1, seed=seed)) for seed in range(3)]
    frames[0].save(path, "GIF")
    assert read_image(path, (6, 4), 1).shape == (1, 6, 4)
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="is an animation or a stack of 3 pictures: save the one that counts"):
        read_image(path, (6, 4), 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(path, channels):
    """And the result is what the whole picture would give, to two grey levels in the mean."""
    rows, columns = np.mgrid[0:400, 0:600]
    smooth = (127 + 60 * np.sin(rows / 40) + 60 * np.cos(columns / 55)).astype(np.uint8)
    image = Image.fromarray(np.stack([smooth, smooth[::-1], 255 - smooth], axis=2))
    image.save(path, "JPEG", quality=95)
    whole = (
        Image.open(path).convert("L" if channels == 1 else "RGB").resize((28, 28), Image.Resampling.BILINEAR)
    )
    expected = np.asarray(whole).reshape(28, 28, channels).transpose(2, 0, 1)
    assert np.abs(read_image(path, (28, 28), channels).astype(int) - expected).mean() < 2


def test_missing_files_folders_and_channels_are_named(tmp_path):
    with pytest.raises(DataError, match=r"image file .*no\.png does not exist"):
        read_image(tmp_path / "no.png", (28, 28), 1)
    with pytest.raises(DataError, match="is a folder: expected a PNG"):
        read_image(tmp_path, (28, 28), 1)
    with pytest.raises(ConfigError, match=r"1 channel \(grey\) or 3 \(RGB\), got 2"):
        read_image(tmp_path / "no.png", (28, 28), 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    """Opening one waits for a writer, for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is a pipe, a device or a socket: expected a PNG"):
        read_image(tmp_path / "pipe.png", (28, 28), 1)


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own on Windows")
def test_links_that_lead_round_are_not_called_damaged(tmp_path):
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    with pytest.raises(DataError, match=r"a\.png cannot be read: Too many levels of symbolic links$"):
        read_image(tmp_path / "a.png", (28, 28), 1)


@settings(deadline=None, max_examples=150)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]))
def test_a_mutated_file_gives_pixels_or_a_data_error(tmp_path_factory, data, kind):
    file = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(file, kind)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(bytes(content))
    with contextlib.suppress(DataError):
        assert read_image(path, (8, 8), 1).shape == (1, 8, 8)
