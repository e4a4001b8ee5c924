"""Sampling and cropping: against SciPy, against their own definitions, and what must not change a thing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from minicnn.data.transforms import affine, affine_maps, crop, rotate
from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels import using
from tests.support.strategies import seeds

DTYPES = [np.uint8, np.float32, np.float64]


def images(rng, shape, dtype):
    if dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.random(shape).astype(dtype)


@st.composite
def affine_cases(draw):
    """Images, maps from gentle to wild, sizes that differ, both ways to continue beyond the border."""
    rng = np.random.default_rng(draw(seeds))
    shape = (
        draw(st.integers(0, 3)),
        draw(st.sampled_from([1, 3])),
        draw(st.integers(1, 9)),
        draw(st.integers(1, 9)),
    )
    maps = affine_maps(
        shape[2:],
        rng.uniform(-180, 180, shape[0]),
        (rng.uniform(-4, 4, shape[0]), rng.uniform(-4, 4, shape[0])),
        rng.uniform(0.3, 3, shape[0]),
        rng.uniform(-40, 40, shape[0]),
    )
    size = draw(st.one_of(st.none(), st.tuples(st.integers(1, 9), st.integers(1, 9))))
    return rng, shape, maps.reshape(-1, 2, 3), size, draw(st.sampled_from(["constant", "nearest"]))


@given(affine_cases(), st.sampled_from([np.float32, np.float64]), st.floats(0, 1))
def test_affine_agrees_with_scipy(case, dtype, fill):
    rng, shape, maps, size, mode = case
    x = images(rng, shape, dtype)
    y = affine(x, maps, size=size, fill=fill, padding_mode=mode)
    assert (y.dtype, y.shape) == (dtype, (*shape[:2], *(size or shape[2:])))
    scipy_mode = "grid-constant" if mode == "constant" else "nearest"
    for image, m, out in zip(x, maps, y):
        for plane, got in zip(image, out):
            expected = ndimage.affine_transform(
                plane.astype(np.float64), m[:, :2], m[:, 2], got.shape, order=1, mode=scipy_mode, cval=fill
            )
            np.testing.assert_allclose(got, expected, atol=1e-5)


@given(affine_cases(), st.sampled_from(DTYPES))
def test_the_kernel_computes_its_definition(case, dtype):
    rng, shape, maps, size, mode = case
    x = images(rng, shape, dtype)
    with using("reference"):
        expected = affine(x, maps, size=size, fill=0.25, padding_mode=mode)
    y = affine(x, maps, size=size, fill=0.25, padding_mode=mode)
    assert y.dtype == expected.dtype
    if dtype == np.uint8:  # a value on the edge of two grey levels may go either way
        assert np.abs(y.astype(int) - expected).max(initial=0) <= 1
        assert np.mean(y != expected) < 0.02 if y.size > 200 else True
    else:
        np.testing.assert_allclose(y, expected, atol=1e-6)


@given(
    seeds, st.sampled_from(DTYPES), st.integers(1, 12), st.integers(1, 12), st.sampled_from([0, 360, -720])
)
def test_whole_turns_change_nothing(seed, dtype, height, width, degrees):
    x = images(np.random.default_rng(seed), (2, 3, height, width), dtype)
    y = rotate(x, degrees)
    if dtype == np.uint8:
        np.testing.assert_array_equal(y, x)
    else:
        np.testing.assert_allclose(y, x, atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_quarter_turns_of_a_square_are_exact_and_counter_clockwise(rng, dtype, quarters):
    x = images(rng, (2, 3, 7, 7), dtype)
    np.testing.assert_allclose(rotate(x, 90 * quarters), np.rot90(x, quarters, axes=(2, 3)), atol=1e-6)


@given(seeds, st.floats(-180, 180), st.floats(0.5, 2), st.floats(-3, 3), st.floats(-3, 3), st.floats(-30, 30))
def test_an_affine_map_and_its_inverse_bring_every_point_back(seed, degrees, scale, down, right, shear):
    maps = affine_maps((9, 12), degrees, (down, right), scale, shear)[0]
    square = np.vstack([maps, [0, 0, 1]])
    points = np.vstack([np.random.default_rng(seed).uniform(-20, 20, (2, 5)), np.ones(5)])
    np.testing.assert_allclose(np.linalg.inv(square) @ (square @ points), points, atol=1e-9)


def test_forth_and_back_gives_the_middle_of_a_smooth_image():
    rows, columns = np.mgrid[0:65, 0:65] / 10
    x = (np.sin(rows) * np.cos(columns))[None, None]
    forth = affine_maps((65, 65), 20, (1.5, -2.25), 1.1, 5)
    back = np.linalg.inv(np.vstack([forth[0], [0, 0, 1]]))[None, :2]
    again = affine(affine(x, forth), back)
    np.testing.assert_allclose(again[..., 20:45, 20:45], x[..., 20:45, 20:45], atol=0.01)


def test_a_linear_ramp_is_sampled_exactly(rng):
    """Bilinear interpolation of a linear image has no error."""
    rows, columns = np.mgrid[0:20, 0:30].astype(np.float64)
    x = (2 * rows - 3 * columns)[None, None]
    m = affine_maps((20, 30), 7, (0.3, -0.6), 1.2)
    places = np.tensordot(m[0], np.stack([rows, columns, np.ones_like(rows)]), axes=1)
    inside = (places[0] >= 0) & (places[0] <= 19) & (places[1] >= 0) & (places[1] <= 29)
    assert inside.sum() > 200
    np.testing.assert_allclose(affine(x, m)[0, 0][inside], (2 * places[0] - 3 * places[1])[inside], atol=1e-9)


@pytest.mark.parametrize("place", [1e300, -1e300, np.inf, np.nan])
def test_places_far_away_are_the_outside(place):
    maps = np.zeros((1, 2, 3))
    maps[0, :, 2] = place
    assert (affine(np.ones((1, 1, 4, 4)), maps, fill=0.5) == 0.5).all()


def test_an_array_with_any_strides_is_read_rightly(rng):
    x = images(rng, (2, 3, 8, 8), np.float32)
    maps = affine_maps((8, 8), [10.0, 20.0])
    odd = np.asfortranarray(x)[:, ::-1, :, ::-1]
    np.testing.assert_array_equal(affine(odd, maps), affine(odd.copy(order="C"), maps))
    np.testing.assert_array_equal(rotate(x[::-1], 30), rotate(x, 30)[::-1])


@given(seeds, st.sampled_from(DTYPES), st.data())
def test_crop_is_slicing_a_padded_image(seed, dtype, data):
    rng = np.random.default_rng(seed)
    shape = tuple(data.draw(st.integers(low, 7)) for low in (0, 1, 1, 1))
    size = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    x = images(rng, shape, dtype)
    tops, lefts = rng.integers(-10, 17, (2, shape[0]))
    flips = rng.random((2, shape[0])) < 0.5
    y = crop(x, tops, lefts, size, flip_rows=flips[0], flip_columns=flips[1], fill=1)
    padded = np.pad(x, ((0, 0), (0, 0), (30, 30), (30, 30)), constant_values=1)
    for n in range(shape[0]):
        top, left = 30 + tops[n], 30 + lefts[n]
        window = padded[n, :, top : top + size[0], left : left + size[1]]
        window = window[:, ::-1] if flips[0, n] else window
        window = window[:, :, ::-1] if flips[1, n] else window
        np.testing.assert_array_equal(y[n], window)
    with using("reference"):
        again = crop(x, tops, lefts, size, flip_rows=flips[0], flip_columns=flips[1], fill=1)
    np.testing.assert_array_equal(again, y, strict=True)


def test_what_does_not_fit_is_answered(rng):
    x = images(rng, (2, 1, 4, 4), np.float32)
    with pytest.raises(ShapeError, match=r"one map \(2, 3\) an image, \(2, 2, 3\), got \(1, 2, 3\)"):
        affine(x, np.zeros((1, 2, 3)))
    with pytest.raises(ConfigError, match="unknown padding_mode 'wrap': known: constant, nearest"):
        affine(x, np.zeros((2, 2, 3)), padding_mode="wrap")
