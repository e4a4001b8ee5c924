"""What each transform does, against another library or by what must be true of it."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from minicnn.data import transforms as T
from minicnn.data.transforms.blur import gaussian_weights
from minicnn.data.transforms.resize import resize_matrix
from minicnn.errors import ConfigError, LabelError
from tests.support.strategies import seeds


def batch(n=6, shape=(3, 12, 10), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def rng(seed=1):
    return np.random.default_rng(seed)


class TestFlip:
    @given(seeds)
    def test_two_flips_are_none(self, seed):
        x = batch(seed=seed)
        for flip in (T.RandomHorizontalFlip(1.0), T.RandomVerticalFlip(1.0)):
            once = flip(x, None, rng())[0]
            assert (once != x).any()
            np.testing.assert_array_equal(flip(once, None, rng())[0], x)

    def test_they_are_numpys(self):
        x = batch()
        np.testing.assert_array_equal(T.RandomHorizontalFlip(1.0)(x, None, rng())[0], x[..., ::-1])
        np.testing.assert_array_equal(T.RandomVerticalFlip(1.0)(x, None, rng())[0], x[..., ::-1, :])
        np.testing.assert_array_equal(T.RandomVerticalFlip(0.0)(x, None, rng())[0], x)

    def test_each_image_is_drawn_for_itself(self):
        x = batch(2000)
        flipped = (T.RandomHorizontalFlip(0.3)(x, None, rng())[0] != x).any(axis=(1, 2, 3))
        assert 0.26 < flipped.mean() < 0.34


class TestCrop:
    @given(st.integers(1, 15), st.integers(1, 15))
    def test_the_centre(self, height, width):
        x = batch()
        y = T.CenterCrop((height, width), fill=9)(x)[0]
        big = np.full((6, 3, 40, 40), 9, np.uint8)
        big[:, :, 14:26, 15:25] = x
        top, left = 14 + (12 - height) // 2, 15 + (10 - width) // 2
        np.testing.assert_array_equal(y, big[:, :, top : top + height, left : left + width])

    def test_padding_is_numpys(self):
        x = batch()
        np.testing.assert_array_equal(
            T.Pad((1, 2, 3, 4), fill=7)(x)[0], np.pad(x, ((0, 0), (0, 0), (2, 4), (1, 3)), constant_values=7)
        )
        np.testing.assert_array_equal(T.Pad(0)(x)[0], x)

    def test_a_random_crop_is_a_window_and_every_window_comes(self):
        x = np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5).repeat(500, 0)
        y = T.RandomCrop((3, 3))(x, None, rng())[0]
        starts = {int(window[0, 0, 0]) for window in y}
        assert starts == {0, 1, 2, 5, 6, 7}
        for window in y:
            start = int(window[0, 0, 0])
            np.testing.assert_array_equal(window[0], x[0, 0, start // 5 :, start % 5 :][:3, :3])

    def test_a_window_that_does_not_fit_is_answered(self):
        with pytest.raises(ConfigError, match="a window 20x20 does not fit into images 12x10 with padding 2"):
            T.RandomCrop(20, padding=2)(batch(), None, rng())

    def test_a_resized_crop_of_the_whole_is_the_image(self):
        x = batch()
        y = T.RandomResizedCrop((12, 10), scale=(1.0, 1.0), ratio=(10 / 12, 10 / 12))(x, None, rng())[0]
        np.testing.assert_array_equal(y, x)

    def test_a_resized_crop_keeps_the_range_and_shows_a_part(self):
        ramp = np.linspace(0, 1, 100)[None, None, None].repeat(100, 2).repeat(200, 0)
        y = T.RandomResizedCrop(20, scale=(0.25, 0.25), ratio=(1.0, 1.0))(ramp, None, rng())[0]
        width = (y[..., -1] - y[..., 0]).mean()
        assert width == pytest.approx(
            0.5 * 19 / 20, abs=0.01
        )  # half the side, from centre to centre of pixels
        assert y.min() >= 0
        assert y.max() <= 1


class TestResize:
    @given(st.integers(1, 40), st.integers(1, 40))
    def test_it_agrees_with_pillow(self, height, width):
        x = batch(1, (1, 17, 23))
        expected = Image.fromarray(x[0, 0]).resize((width, height), Image.Resampling.BILINEAR)
        y = T.resize(x, (height, width))[0, 0]
        assert np.abs(y.astype(int) - np.asarray(expected)).max() <= 1

    @given(st.integers(1, 60), st.integers(1, 60))
    def test_the_weights_of_every_pixel_sum_to_one(self, length, new):
        matrix = resize_matrix(length, new)
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
        assert (matrix >= 0).all()

    def test_the_shorter_side(self):
        assert T.Resize(6)(batch())[0].shape == (6, 3, 7, 6)
        assert T.Resize(6).output_shape((3, 10, 40)) == (3, 6, 24)

    def test_its_own_size_keeps_the_pixels(self):
        np.testing.assert_array_equal(T.resize(batch(), (12, 10)), batch())


class TestGeometry:
    def test_a_shift_by_whole_pixels_is_exact(self):
        x = batch(shape=(1, 6, 8))
        maps = T.affine_maps((6, 8), 0, (2, -3)).repeat(6, 0)
        expected = np.zeros_like(x)
        expected[:, :, 2:, :-3] = x[:, :, :-2, 3:]
        np.testing.assert_array_equal(T.affine(x, maps), expected)

    def test_translation_stays_within_its_shares(self):
        x = np.zeros((300, 1, 21, 41), np.float64)
        x[:, :, 10, 20] = 1
        y = T.RandomTranslation((0.1, 0.3))(x, None, rng())[0]
        centre = [ndimage.center_of_mass(image[0]) for image in y]
        down, right = np.abs(np.array(centre) - (10, 20)).max(axis=0)
        assert 0.2 * 21 < down <= 0.3 * 21 + 1e-9
        assert 0.05 * 41 < right <= 0.1 * 41 + 1e-9

    def test_scale_two_shows_the_middle(self):
        x = np.zeros((1, 1, 21, 21))
        x[:, :, 8:13, 8:13] = 1  # 5 pixels wide: 9 to 11 after doubling
        y = T.RandomScale((2.0, 2.0))(x, None, rng())[0]
        assert y.sum() == pytest.approx(4 * x.sum(), rel=0.01)

    @pytest.mark.parametrize("degrees", [-33.0, 12.5, 90.0])
    def test_rotation_agrees_with_scipy(self, degrees):
        x = np.random.default_rng(0).random((2, 3, 9, 13))
        expected = ndimage.rotate(x, degrees, axes=(3, 2), reshape=False, order=1, mode="grid-constant")
        expected = np.stack(
            [
                ndimage.rotate(p, degrees, reshape=False, order=1, mode="grid-constant")
                for p in x.reshape(6, 9, 13)
            ]
        )
        np.testing.assert_allclose(T.rotate(x, degrees).reshape(6, 9, 13), expected, atol=1e-5)

    def test_rotation_stays_within_its_degrees(self):
        bar = np.zeros((200, 1, 41, 41))
        bar[:, :, 20, 30] = 1
        y = T.RandomRotation((-20, 10))(bar, None, rng())[0]
        places = np.array([ndimage.center_of_mass(image[0]) for image in y]) - 20
        angles = np.rad2deg(np.arctan2(-places[:, 0], places[:, 1]))
        assert -20.5 < angles.min() < -15
        assert 6 < angles.max() < 10.5


class TestColour:
    def test_nothing_changes_without_strength(self):
        np.testing.assert_array_equal(T.ColorJitter()(batch(), None, rng())[0], batch())

    def test_brightness_and_contrast_of_grey(self):
        x = np.random.default_rng(0).random((50, 1, 8, 8))
        bright = T.ColorJitter(brightness=(0.5, 0.5))(x, None, rng())[0]
        np.testing.assert_allclose(bright, 0.5 * x, atol=1e-6)
        flat = T.ColorJitter(contrast=(0.0, 0.0))(x, None, rng())[0]
        np.testing.assert_allclose(
            flat, x.mean(axis=(1, 2, 3), keepdims=True).repeat(8, 2).repeat(8, 3), atol=1e-6
        )

    def test_without_saturation_it_is_luma(self):
        x = batch()
        y = T.ColorJitter(saturation=(0, 0))(x, None, rng())[0]
        luma = np.einsum("nchw,c->nhw", x, [0.299, 0.587, 0.114])
        assert np.abs(y - luma[:, None]).max() < 0.51

    def test_a_third_of_a_circle_takes_red_towards_another_hue_and_a_whole_one_back(self):
        red = np.zeros((1, 3, 1, 1))
        red[:, 0] = 1
        turned = T.ColorJitter(hue=(1 / 3, 1 / 3))(red, None, rng())[0].ravel()
        hue = colorsys.rgb_to_hsv(*turned.clip(0, 1))[0]
        assert 0.2 < min(hue, 1 - hue) <= 0.5
        half = T.ColorJitter(hue=(0.5, 0.5))
        np.testing.assert_allclose(half(half(red, None, rng())[0], None, rng())[0], red, atol=1e-5)

    def test_grey_keeps_its_hue(self):
        grey = np.full((2, 3, 4, 4), 100, np.uint8)
        np.testing.assert_array_equal(T.ColorJitter(saturation=0.9, hue=0.5)(grey, None, rng())[0], grey)

    def test_uint8_is_clipped_and_not_wrapped(self):
        white = np.full((20, 1, 2, 2), 250, np.uint8)
        assert T.ColorJitter(brightness=(1.5, 1.5))(white, None, rng())[0].min() == 255


class TestBlurAndNoise:
    @given(seeds, st.sampled_from([3, 5, 9]), st.floats(0.3, 3))
    def test_blur_agrees_with_scipy(self, seed, size, sigma):
        x = np.random.default_rng(seed).random((2, 1, 11, 13))
        y = T.GaussianBlur(size, sigma)(x, None, rng())[0]
        for image, got in zip(x, y):
            expected = ndimage.gaussian_filter(image[0], sigma, mode="mirror", radius=size // 2)
            np.testing.assert_allclose(got[0], expected, atol=1e-5)

    def test_the_weights_sum_to_one(self):
        np.testing.assert_allclose(gaussian_weights(np.array([0.1, 1, 9]), 4).sum(axis=1), 1)

    def test_noise_has_the_strength_that_is_asked_for(self):
        x = np.full((20, 1, 50, 50), 128, np.uint8)
        noise = T.GaussianNoise(0.1)(x, None, rng())[0] - 128.0
        assert noise.std() == pytest.approx(25.5, rel=0.02)
        assert abs(noise.mean()) < 0.5
        assert T.GaussianNoise(0.1)(x / 255, None, rng())[0].std() == pytest.approx(0.1, rel=0.02)


class TestErasing:
    def test_one_rectangle_of_the_share_that_is_asked_for(self):
        x = np.full((300, 1, 40, 40), 255, np.uint8)
        y = T.RandomErasing(1.0, scale=(0.1, 0.2), ratio=(0.5, 2.0))(x, None, rng())[0]
        for image in y[:, 0]:
            rows, columns = np.nonzero(image == 0)
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "one whole rectangle"
            assert 0.08 < len(rows) / 1600 < 0.22

    def test_with_its_probability(self):
        x = np.full((1000, 1, 8, 8), 255, np.uint8)
        erased = (T.RandomErasing(0.3)(x, None, rng())[0] == 0).any(axis=(1, 2, 3))
        assert 0.25 < erased.mean() < 0.35


class TestMixing:
    def test_mixup_mixes_images_as_it_mixes_labels(self):
        """Image n is all n: what is left of it can be read off."""
        labels = np.arange(8)
        x = np.broadcast_to(labels.astype(np.float64)[:, None, None, None], (8, 1, 3, 3))
        y, soft = T.Mixup(8, alpha=1.0)(x, labels, rng())
        assert soft.shape == (8, 8)
        np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(y[:, 0, 0, 0], soft @ labels, rtol=1e-5)
        assert (soft.max(axis=1) < 1).any()

    def test_cutmix_counts_labels_by_area(self):
        labels = np.arange(8)
        x = np.broadcast_to(labels.astype(np.float64)[:, None, None, None], (8, 1, 10, 10))
        for seed in range(20):
            y, soft = T.CutMix(8)(x, labels, rng(seed))
            np.testing.assert_allclose(y.mean(axis=(1, 2, 3)), soft @ labels, atol=1e-5)
            assert all(len(np.unique(image)) <= 2 for image in y)

    def test_they_follow_one_another(self):
        x, labels = batch(), np.arange(6)
        _, soft = T.Compose([T.Mixup(6), T.CutMix(6)])(x, labels, rng())
        np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)

    def test_labels_that_do_not_fit_are_answered(self):
        with pytest.raises(LabelError, match="labels run from 0 to 5, but num_classes is 3"):
            T.Mixup(3)(batch(), np.arange(6), rng())
        with pytest.raises(LabelError, match="takes class numbers"):
            T.CutMix(3)(batch(), None, rng())


def test_normalisation_uses_the_training_statistics():
    x = batch(50)
    y, _ = T.Normalize.from_training_images(x)(x)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, atol=1e-5)
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.RandomHorizontalFlip(2), "p is a probability from 0 to 1, got 2"),
        (lambda: T.RandomRotation("a lot"), "degrees must be a number or a pair"),
        (lambda: T.RandomRotation((10, -10)), "degrees must be a number or a pair"),
        (lambda: T.RandomAffine(0, translate=(2, 0)), "translate is .* 0 to 1 each"),
        (lambda: T.RandomAffine(0, scale=(0, 1)), "scale must be"),
        (lambda: T.RandomAffine(0, shear=90), "shear must stay below 90"),
        (lambda: T.RandomCrop(0), "size must be a number of pixels"),
        (lambda: T.RandomCrop(4, padding=-1), "padding must be 0 or more"),
        (lambda: T.Pad((1, 2, 3)), "padding must be 0 or more pixels: an int, a pair"),
        (lambda: T.Resize(0), "size must be a number of pixels"),
        (lambda: T.RandomResizedCrop(4, scale=(0, 2)), "scale is a share of the area"),
        (lambda: T.ColorJitter(hue=0.7), "hue must be|hue is at most"),
        (lambda: T.ColorJitter(brightness=-1), "brightness must be"),
        (lambda: T.GaussianBlur(4), "kernel_size must be an odd number"),
        (lambda: T.GaussianNoise(-1), "std must be 0 or more"),
        (lambda: T.RandomErasing(value="red"), "a number or \"random\", got 'red'"),
        (lambda: T.Mixup(1), "num_classes must be 2 or more"),
        (lambda: T.CutMix(3, alpha=0), "alpha must be positive"),
        (lambda: T.Normalize([0.5], [0.0]), "one positive std|positive std a channel"),
        (lambda: T.Compose([T.RandomRotation]), "Compose takes transforms such as"),
    ],
)
def test_arguments_that_make_no_sense_are_answered(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


class TestPresets:
    @pytest.mark.parametrize(
        "spec",
        [
            *T.PRESETS,
            "flip,vflip,crop:2,rotate,translate,scale,shear,resized,jitter,hue,noise,blur,erase",
            "mixup",
            "cutmix:0.5",
            " flip , rotate:5 ",
        ],
    )
    @pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 24)])
    def test_every_name_makes_a_transform(self, spec, shape):
        if "hue" in spec and shape[0] == 1:
            spec = spec.replace("hue,", "")
        made = T.augmentation(spec, shape, 4)
        if spec == "none":
            assert made is None
            return
        y, _ = made(batch(4, shape), np.arange(4), rng())
        assert y.shape == (4, *shape)

    def test_values_arrive(self):
        flip, turn = T.augmentation("flip:0.25,rotate:7", (1, 8, 8), 2).transforms
        assert (flip.p, turn.degrees) == (0.25, (-7, 7))

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("flipp", "unknown augmentation 'flipp': did you mean 'flip'"),
            ("lite", "unknown augmentation 'lite': did you mean 'light'"),
            ("rotate:much", "augmentation 'rotate:much': expected a number"),
            ("rotate:-5", "expected a number from 0 up"),
            ("crop:1.5", "expected a whole number of pixels"),
        ],
    )
    def test_mistakes_are_answered(self, spec, message):
        with pytest.raises(ConfigError, match=message):
            T.augmentation(spec, (1, 8, 8), 2)
