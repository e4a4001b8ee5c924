"""What every transform keeps. A new transform is one line in TRANSFORMS."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.data import transforms as T
from minicnn.errors import ConfigError, DTypeError, ShapeError

SHAPE = (3, 12, 10)
TRANSFORMS = [
    T.Resize((6, 9)),
    T.Resize(6),
    T.CenterCrop((5, 20)),
    T.Pad((1, 2, 3, 0), fill=1),
    T.RandomCrop((8, 9), padding=2),
    T.RandomResizedCrop((7, 8)),
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(0.7),
    T.RandomRotation(30),
    T.RandomAffine(10, (0.1, 0.2), (0.8, 1.2), 15),
    T.RandomTranslation(0.2),
    T.RandomScale((0.5, 2.0)),
    T.ColorJitter(0.3, 0.3, 0.3, 0.1),
    T.GaussianNoise(0.1),
    T.GaussianBlur(5, (0.5, 2.0)),
    T.RandomErasing(0.9),
    T.RandomErasing(0.9, value="random"),
    T.Mixup(4, 1.0),
    T.CutMix(4),
    T.Compose([T.RandomHorizontalFlip(), T.RandomRotation(5)]),
]
MIXING = (T.Mixup, T.CutMix)
NOT_SOFT = [t for t in TRANSFORMS if not isinstance(t, MIXING)]

every_transform = pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
DTYPES = [np.uint8, np.float32, np.float64]


def batch(dtype=np.uint8, n=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, *SHAPE), dtype=np.uint8)
    return (x if dtype == np.uint8 else (x / 255).astype(dtype)), np.arange(n) % 4


def rng(seed=1):
    return np.random.default_rng(seed)


def test_every_transform_stands_in_the_table():
    classes = {value for value in vars(T).values() if isinstance(value, type)} - {T.Transform, T.Normalize}
    assert classes == {type(transform) for transform in TRANSFORMS}


@every_transform
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_layout_and_shape_stay(transform, dtype):
    x, labels = batch(dtype)
    y, _ = transform(x, labels, rng())
    assert y.dtype == dtype
    assert y.flags.c_contiguous
    assert y.shape == (len(x), *transform.output_shape(SHAPE))


@pytest.mark.parametrize("transform", NOT_SOFT, ids=repr)
def test_labels_pass_through(transform):
    x, labels = batch()
    assert transform(x, labels, rng())[1] is labels
    assert transform(x, rng=rng())[1] is None


@every_transform
def test_the_same_seed_gives_the_same_bits_and_another_others(transform):
    x, labels = batch(np.float32)
    first, again = (transform(x, labels, rng(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    others = [transform(x, labels, rng(seed))[0] for seed in range(8)]
    assert transform.random == any((other != first).any() for other in others)


@every_transform
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_given_is_not_written_to(transform, dtype):
    x, labels = batch(dtype)
    kept_x, kept_labels = x.copy(), labels.copy()
    x.flags.writeable = labels.flags.writeable = False
    y, _ = transform(x, labels, rng())
    np.testing.assert_array_equal(x, kept_x)
    np.testing.assert_array_equal(labels, kept_labels)
    assert not np.shares_memory(x, y)


@every_transform
def test_an_empty_batch_stays_empty(transform):
    x, labels = batch(n=0)
    y, _ = transform(x, labels, rng())
    assert y.shape == (0, *transform.output_shape(SHAPE))


@every_transform
def test_strides_are_free(transform):
    x, labels = batch(np.float64)
    view = np.asfortranarray(x)[:, :, ::-1]
    np.testing.assert_allclose(
        transform(view, labels, rng())[0], transform(view.copy(order="C"), labels, rng())[0], atol=1e-12
    )


@pytest.mark.parametrize("transform", [t for t in TRANSFORMS if t.random], ids=repr)
def test_a_transform_that_draws_needs_a_generator(transform):
    x, labels = batch()
    for wrong in (None, 7):
        with pytest.raises(
            ConfigError, match=r"draws at random: give it a generator, rng=np.random.default_rng"
        ):
            transform(x, labels, wrong)


@every_transform
def test_what_is_no_batch_of_images_is_answered(transform):
    with pytest.raises(DTypeError, match=r"uint8 images \(0 to 255\) or float32 and float64.*got int64"):
        transform(np.zeros((2, 3, 8, 8), np.int64), None, rng())
    with pytest.raises(ShapeError, match="this looks like NHWC"):
        transform(np.zeros((2, 8, 8, 3), np.uint8), None, rng())


@every_transform
def test_it_can_be_printed(transform):
    assert type(transform).__name__ in repr(transform)
