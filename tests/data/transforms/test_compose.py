"""Compose takes fewer passes than there are transforms: that must not show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import transforms as T
from minicnn.data.transforms import compose, moving
from minicnn.data.transforms.sampling import Moves, crop
from minicnn.kernels import using
from tests.support.strategies import seeds

fills = st.sampled_from([0, 0, 1])  # mostly equal ones, which can share a pass
sides = st.integers(1, 14)

geometric = st.one_of(
    st.builds(T.RandomHorizontalFlip, st.sampled_from([0.0, 0.5, 1.0])),
    st.builds(T.RandomVerticalFlip, st.sampled_from([0.0, 0.5, 1.0])),
    st.builds(T.CenterCrop, st.tuples(sides, sides), fill=fills),
    st.builds(T.Pad, st.integers(0, 3), fill=fills),
    st.builds(T.RandomCrop, st.tuples(sides, sides), padding=st.just(15), fill=fills),
    st.builds(T.RandomRotation, st.floats(0, 180), fill=fills),
    st.builds(T.RandomAffine, st.just(5), st.just((0.3, 0.2)), st.just((0.5, 2.0)), fill=fills),
    st.builds(T.RandomResizedCrop, st.tuples(sides, sides)),
    st.builds(T.RandomErasing, st.just(0.7)),
)


@given(st.lists(geometric, max_size=6), seeds, st.sampled_from([np.uint8, np.float32, np.float64]))
def test_it_is_one_transform_after_the_other_to_the_same_bits(transforms, seed, dtype):
    x = np.random.default_rng(seed).integers(0, 256, (4, 3, 11, 9), dtype=np.uint8)
    x = x if dtype == np.uint8 else (x / 255).astype(dtype)
    rng, expected = np.random.default_rng(seed), x
    for transform in transforms:
        expected, _ = transform(expected, None, rng)
    y, _ = T.Compose(transforms)(x, None, np.random.default_rng(seed))
    np.testing.assert_array_equal(y, expected, strict=True)
    _, height, width = T.Compose(transforms).output_shape((3, 11, 9))
    assert y.shape == (4, 3, height, width)


@given(st.lists(geometric, max_size=4), seeds)
def test_the_definition_agrees(transforms, seed):
    x = np.random.default_rng(seed).random((2, 1, 11, 9))
    y, _ = T.Compose(transforms)(x, None, np.random.default_rng(seed))
    with using("reference"):
        expected, _ = T.Compose(transforms)(x, None, np.random.default_rng(seed))
    np.testing.assert_allclose(y, expected, atol=1e-9)


def test_flip_crop_and_rotation_are_one_pass(monkeypatch):
    passes = []
    monkeypatch.setattr(moving, "affine", lambda x, maps, **options: passes.append(options["moves"]) or x)
    monkeypatch.setattr(moving, "crop", lambda *args, **options: pytest.fail("a pass of its own"))
    augment = T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(9, padding=2), T.RandomRotation(15)])
    augment(np.zeros((4, 1, 9, 9), np.uint8), None, np.random.default_rng(0))
    assert len(passes) == 1
    assert isinstance(passes[0], Moves)


def test_a_transform_with_a_way_of_its_own_is_called():
    class Negative(T.RandomHorizontalFlip):
        def images(self, x, rng):
            return 255 - x

    x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    y, _ = T.Compose([Negative(), T.RandomVerticalFlip(1.0)])(x, None, np.random.default_rng(0))
    np.testing.assert_array_equal(y, 255 - x[:, :, ::-1])
    assert not compose._is_plain(Negative(), moving.WholePixel)


def test_a_border_is_fill_whatever_the_image_has_there():
    x = np.full((1, 1, 6, 6), 7, np.uint8)
    y = crop(x, np.array([2]), np.array([2]), (2, 3), fill=1, border=2)
    expected = np.ones((1, 1, 6, 7), np.uint8)
    expected[:, :, 2:4, 2:5] = 7
    np.testing.assert_array_equal(y, expected)
    with using("reference"):
        again = crop(x, np.array([2]), np.array([2]), (2, 3), fill=1, border=2)
    np.testing.assert_array_equal(again, expected)
