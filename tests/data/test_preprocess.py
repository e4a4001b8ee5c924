from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from minicnn.data import Preprocessing
from minicnn.errors import ConfigError, DataError, DTypeError, ShapeError
from minicnn.kernels import using
from tests.support.strategies import seeds

PLAIN = Preprocessing((4, 6))


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def preprocessings(draw):
    channels = draw(st.sampled_from([1, 3]))
    numbers = st.lists(st.floats(0.05, 2), min_size=channels, max_size=channels).map(tuple)
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    return Preprocessing(size, channels, draw(st.integers(0, 3)), draw(numbers), draw(numbers))


@settings(deadline=None)
@given(prepare=preprocessings(), n=st.integers(0, 4), grey=st.booleans())
def test_it_is_what_the_docstring_says(prepare, n, grey):
    """y = (x / 255 - mean) / std on the padded image, for every size, padding and number of channels."""
    raw = pixels(n, 1 if grey else prepare.channels, *prepare.image_size)
    p = prepare.padding
    padded = np.pad(raw, ((0, 0), (0, 0), (p, p), (p, p)))
    mean, std = (np.reshape(v, (-1, 1, 1)) for v in (prepare.mean, prepare.std))
    y = prepare(raw)
    np.testing.assert_allclose(y, (padded / 255 - mean) / std, rtol=1e-5, atol=2e-5)
    assert y.dtype == np.float32
    assert y.shape == (n, *prepare.input_shape)


@settings(deadline=None)
@given(prepare=preprocessings())
def test_it_survives_json(prepare):
    assert Preprocessing.from_dict(json.loads(json.dumps(prepare.to_dict()))) == prepare


def test_numpy_numbers_become_plain_ones():
    prepare = Preprocessing((np.int64(4), np.int32(6)), np.int64(1), np.uint8(2), np.array([0.5]), np.ones(1))
    assert Preprocessing.from_dict(json.loads(json.dumps(prepare.to_dict()))) == prepare


@settings(deadline=None)
@given(n=st.integers(1, 5), channels=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_prepared_training_images_have_mean_0_and_std_1(n, channels, seed):
    raw = pixels(n, channels, 4, 5, seed=seed)
    y = Preprocessing.from_training_images(raw)(raw)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_statistics_of_many_images_agree_with_numpy():
    raw = pixels(2500, 3, 5, 4)
    prepare = Preprocessing.from_training_images(raw)
    np.testing.assert_allclose(prepare.mean, (raw / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(prepare.std, (raw / 255).std(axis=(0, 2, 3)), rtol=1e-12)


def test_training_images_are_padded_and_their_grey_repeated():
    raw = pixels(5, 28, 28)
    prepare = Preprocessing.from_training_images(raw, input_shape=(3, 32, 32))
    assert prepare.input_shape == (3, 32, 32)
    assert (prepare.image_size, prepare.padding, prepare.channels) == ((28, 28), 2, 3)
    y = prepare(raw)
    assert y.shape == (5, 3, 32, 32)
    np.testing.assert_array_equal(y[:, 0], y[:, 2])
    plain = Preprocessing.from_training_images(raw)
    np.testing.assert_array_equal(y[:, 1:2, 2:-2, 2:-2], plain(raw))
    np.testing.assert_array_equal(y[:, :, 0], y[0, 0, 0, 0])
    assert plain.mean * 3 == prepare.mean


def test_a_constant_channel_gets_std_1():
    prepare = Preprocessing.from_training_images(np.full((3, 2, 2), 51, np.uint8))
    assert prepare.std == (1.0,)
    np.testing.assert_allclose(prepare(np.full((1, 2, 2), 51, np.uint8)), 0, atol=1e-6)


@settings(deadline=None)
@given(step=st.sampled_from([1, -1, 2, -2]), prepare=preprocessings())
def test_any_strides_are_taken_and_the_images_stay_as_they_were(step, prepare):
    height, width = prepare.image_size
    assume(height * width > 1)
    big = pixels(3, prepare.channels, height * 2, width * 2)
    view = big[:, :, ::step, ::step][:, :, :height, :width]
    before = big.copy()
    np.testing.assert_array_equal(prepare(view), prepare(view.copy()))
    np.testing.assert_array_equal(big, before)


def test_the_result_is_always_new():
    raw = pixels(2, 1, 4, 6)
    a, b = PLAIN(raw), PLAIN(raw)
    a[:] = 7
    assert not np.shares_memory(a, b)
    assert b.max() <= 1


@pytest.mark.parametrize(
    "prepare", [PLAIN, Preprocessing((4, 6), padding=1), Preprocessing((4, 6), channels=3)]
)
def test_picked_rows_count_from_the_end_as_in_numpy_and_never_beyond_it(prepare):
    raw = pixels(70, 1, 4, 6)
    for rows in ([], [69], [3, 3, 0], [-1, 5, -70], list(range(70))[::-1]):
        picked = prepare.pick(raw, np.array(rows, int))
        np.testing.assert_array_equal(picked, prepare(raw[np.array(rows, int)]))
    for rows in ([0, 70], [-71, 0]):
        with pytest.raises(IndexError, match="out of bounds for axis 0 with size 70"):
            prepare.pick(raw, np.array(rows))


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (np.zeros((2, 4, 6)), DTypeError, "expects raw uint8 images (0 to 255), got float64"),
        (pixels(2, 5, 6), ShapeError, "preprocessing for 4x6 images with 1 channel(s) got images 5x6"),
        (pixels(2, 3, 4, 6), ShapeError, "got images 4x6 with 3 channel(s)"),
        (pixels(2, 24), ShapeError, "images.reshape(-1, 1, H, W)"),
        (pixels(2, 8, 8, 1), ShapeError, "this looks like NHWC; use images.transpose(0, 3, 1, 2)"),
        (pixels(24), ShapeError, "got (24,)"),
    ],
)
def test_other_images_are_refused(images, error, text):
    with pytest.raises(error) as raised:
        PLAIN(images)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"image_size": (28,)}, "image_size must be (height, width)"),
        ({"image_size": (28, 0)}, "image_size must be (height, width)"),
        ({"image_size": 28}, "image_size must be (height, width)"),
        ({"image_size": (28, 28), "channels": 2}, "channels must be 1 (grey) or 3 (RGB), got 2"),
        ({"image_size": (28, 28), "padding": -1}, "padding must be 0 or more pixels, got -1"),
        ({"image_size": (28, 28), "padding": 1.5}, "whole numbers"),
        ({"image_size": (28, 28), "mean": (1, 2)}, "mean must be 1 finite number(s), got (1.0, 2.0)"),
        ({"image_size": (28, 28), "mean": (np.nan,)}, "mean must be 1 finite number(s)"),
        ({"image_size": (28, 28), "std": (0,)}, "std must be positive"),
        ({"image_size": (28, 28), "mean": 0.5}, "mean and std tuples of numbers"),
        ({"image_size": (28, 28), "mean": ("a",)}, "mean and std tuples of numbers"),
    ],
)
def test_senseless_values_are_refused(arguments, text):
    with pytest.raises(ConfigError) as raised:
        Preprocessing(**arguments)
    assert text in str(raised.value)
    with pytest.raises(ConfigError, match="not a description of preprocessing"):
        Preprocessing.from_dict(arguments)


@pytest.mark.parametrize("values", [{}, {"channels": 1}, {"image_size": [2, 2], "colour": 1}, None, [1]])
def test_another_dictionary_is_refused(values):
    with pytest.raises(ConfigError, match="expected image_size, channels, padding, mean, std, got"):
        Preprocessing.from_dict(values)


@pytest.mark.parametrize(
    ("shape", "input_shape", "text"),
    [
        ((2, 28, 28), (1, 31, 31), "28x28 images cannot be padded evenly to 31x31: try 28x28 or 32x32"),
        ((2, 28, 28), (1, 24, 24), "cannot be padded evenly to 24x24"),
        ((2, 28, 28), (1, 32, 30), "cannot be padded evenly to 32x30"),
        ((2, 28, 28), (4, 28, 28), "images with 1 channel(s) cannot be made into 4 channel(s)"),
        ((2, 3, 28, 28), (1, 28, 28), "images with 3 channel(s) cannot be made into 1 channel(s)"),
        ((2, 28, 28), (32, 32), "input_shape must be (channels, height, width), got (32, 32)"),
    ],
)
def test_an_input_shape_out_of_reach_is_refused(shape, input_shape, text):
    with pytest.raises(ConfigError) as raised:
        Preprocessing.from_training_images(pixels(*shape), input_shape=input_shape)
    assert text in str(raised.value)


def test_statistics_need_images_and_uint8():
    with pytest.raises(ShapeError, match="at least one training image"):
        Preprocessing.from_training_images(pixels(0, 28, 28))
    with pytest.raises(DTypeError, match="got float32"):
        Preprocessing.from_training_images(np.zeros((2, 28, 28), np.float32))


def test_a_picture_file_goes_the_way_of_the_training_images(tmp_path):
    raw = pixels(1, 28, 28)
    Image.fromarray(raw[0]).save(tmp_path / "coat.png")
    prepare = Preprocessing((28, 28), 3, 2, (0.3,) * 3, (0.4,) * 3)
    read = prepare.read_image(tmp_path / "coat.png")
    assert read.shape == (1, 3, 28, 28)
    np.testing.assert_array_equal(prepare(read), prepare(raw))
    with pytest.raises(DataError, match="does not exist"):
        prepare.read_image(tmp_path / "shoe.png")


@given(seeds, st.integers(0, 3), st.sampled_from([(1, 1), (1, 3), (3, 3)]), st.booleans())
def test_the_kernel_computes_its_definition(seed, padding, channels, writeable):
    rng = np.random.default_rng(seed)
    own, wanted = channels
    x = rng.integers(0, 256, (7, own, 5, 6), dtype=np.uint8)
    x.flags.writeable = writeable
    prepare = Preprocessing(
        (5, 6), wanted, padding, tuple(rng.random(wanted)), tuple(0.1 + rng.random(wanted))
    )
    rows = rng.integers(-7, 7, 9)
    y = prepare.pick(x, rows)
    with using("reference"):
        expected = prepare.pick(x, rows)
    assert y.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(y, expected, atol=2e-6)
    odd = np.asfortranarray(x)
    np.testing.assert_array_equal(prepare.pick(odd, rows), y)
    np.testing.assert_array_equal(prepare(x), prepare.pick(x, np.arange(7)))


def test_rows_that_are_not_there_are_no_memory_of_others():
    prepare = Preprocessing((2, 2))
    with pytest.raises(IndexError):
        prepare.pick(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 3]))
    with pytest.raises(IndexError):
        prepare.pick(np.zeros((3, 1, 2, 2), np.uint8), np.array([-4]))


def test_a_batch_that_is_held_does_not_change():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (8, 1, 4, 4), dtype=np.uint8)
    prepare = Preprocessing((4, 4))
    held = prepare(x)
    kept = held.copy()
    view = prepare(x)[2:3, :, 1:]
    kept_view = view.copy()
    for _ in range(20):
        prepare(rng.integers(0, 256, x.shape, dtype=np.uint8))
    np.testing.assert_array_equal(held, kept)
    np.testing.assert_array_equal(view, kept_view)
