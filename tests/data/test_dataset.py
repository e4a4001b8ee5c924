from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data import ArrayDataset, Preprocessing
from minicnn.errors import ConfigError, DataError, DTypeError, LabelError, ShapeError


def raw(n=12, seed=0):
    """Images whose first pixel is their number, and labels 0, 1, 2, 0, 1, 2 ..."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 5, 4), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n) % 256
    return images, np.arange(n) % 3


def test_raw_images_become_float32_between_0_and_1():
    images, labels = raw()
    dataset = ArrayDataset(images, labels)
    x, y = dataset[np.array([3, 1])]
    np.testing.assert_allclose(x, images[[3, 1], None] / np.float32(255), rtol=1e-6)
    assert (x.shape, x.dtype, y.dtype) == ((2, 1, 5, 4), np.float32, np.int64)
    np.testing.assert_array_equal(y, [0, 1])
    assert (len(dataset), dataset.input_shape, dataset.num_classes) == (12, (1, 5, 4), 3)
    assert repr(dataset) == "ArrayDataset(12 images 1x5x4 uint8, 3 classes)"


def test_raw_images_stay_reachable():
    images, labels = raw()
    dataset = ArrayDataset(images, labels)
    assert dataset.images.shape == (12, 1, 5, 4)
    assert np.shares_memory(dataset.images, images)


def test_batches_go_through_the_preprocessing():
    images, labels = raw()
    prepare = Preprocessing.from_training_images(images, input_shape=(3, 7, 6))
    dataset = ArrayDataset(images, labels, preprocessing=prepare)
    np.testing.assert_array_equal(dataset[:][0], prepare(images))
    assert dataset.input_shape == (3, 7, 6)
    np.testing.assert_array_equal(
        ArrayDataset(images, labels).with_preprocessing(prepare)[:][0], prepare(images)
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_images_are_taken_as_they_are(dtype):
    images = np.random.default_rng(0).normal(size=(6, 2, 3, 3)).astype(dtype)
    dataset = ArrayDataset(images, np.arange(6))
    x, _ = dataset[:]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, images.astype(np.float32))
    assert dataset.preprocessing is None


INDICES = [np.array([2, 0, 2]), slice(1, 9, 3), slice(None, None, -1), [4, -1], np.arange(12) > 5, []]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_every_index_gives_a_new_array(index, kind):
    images, labels = raw()
    images = images.astype(kind)
    dataset = ArrayDataset(images, labels)
    before = images.copy()
    x, y = dataset[index]
    picked = np.asarray(index, int) if isinstance(index, list) else index
    np.testing.assert_array_equal(y, labels[picked])
    np.testing.assert_allclose(x[:, 0] * (255 if kind == np.uint8 else 1), images[picked], rtol=1e-6)
    x[:], y[:] = -1, -1
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(dataset.labels, labels)


def test_one_integer_gives_one_sample_and_a_for_loop_ends():
    dataset = ArrayDataset(*raw())
    x, y = dataset[5]
    assert x.shape == (1, 5, 4)
    assert y == 2
    assert len(list(dataset)) == 12
    with pytest.raises(IndexError):
        dataset[12]


@pytest.mark.parametrize("index", [np.array([0.0, 1.0]), np.zeros((2, 2), int), np.array([True, False])])
def test_a_senseless_index_is_answered(index):
    with pytest.raises(ShapeError, match="picked by a one-dimensional array of integers"):
        ArrayDataset(*raw())[index]


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(sum),
    share=st.floats(0, 0.999),
    seed=st.integers(0, 1000),
)
def test_a_split_holds_every_sample_once_and_every_class_in_proportion(counts, share, seed):
    total = sum(counts)
    held = int(share * total)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.arange(total, dtype=np.float32).reshape(total, 1, 1, 1)
    rest, held_out = ArrayDataset(images, labels).split(held, np.random.default_rng(seed))
    assert (len(rest), len(held_out)) == (total - held, held)
    both = np.concatenate([rest.images, held_out.images]).ravel()
    np.testing.assert_array_equal(np.sort(both), np.arange(total))
    for part in (rest, held_out):
        assert (np.diff(part.images.ravel()) > 0).all()  # the order is kept
        np.testing.assert_array_equal(part.labels, labels[part.images.ravel().astype(int)])
        expected = np.array(counts) * len(part) / total
        found = np.bincount(part.labels, minlength=len(counts))
        assert (abs(found - expected) < 1).all()


def test_a_split_is_the_seeds():
    dataset = ArrayDataset(*raw(90))
    first, again, other = (dataset.split(0.2, np.random.default_rng(seed))[1].images for seed in (0, 0, 1))
    assert len(first) == 18
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # The same on every machine: what NumPy's PCG64 draws from seed 0.
    _, held_out = ArrayDataset(*raw(12)).split(3, np.random.default_rng(0))
    np.testing.assert_array_equal(held_out.images[:, 0, 0, 0], [5, 6, 10])


def test_a_split_keeps_names_and_preprocessing():
    images, labels = raw()
    prepare = Preprocessing.from_training_images(images)
    for part in ArrayDataset(images, labels, ["a", "b", "c"], prepare).split(3):
        assert part.class_names == ("a", "b", "c")
        assert part.preprocessing is prepare


@pytest.mark.parametrize("size", [12, 13, -1, 1.0, 1.5, -0.1, True, "3", None])
def test_a_senseless_split_is_answered(size):
    with pytest.raises(ConfigError, match="of 12 samples: give a number from 0 to 11, or a fraction"):
        ArrayDataset(*raw()).split(size)


def test_a_subset_is_a_data_set_of_its_own():
    images, labels = raw()
    part = ArrayDataset(images, labels, ["a", "b", "c"]).subset([7, 2])
    assert len(part) == 2
    np.testing.assert_array_equal(part.images[:, 0, 0, 0], [7, 2])
    assert not np.shares_memory(part.images, images)
    assert (part.num_classes, list(part.class_counts)) == (3, [0, 1, 1])


def test_no_samples_at_all():
    dataset = ArrayDataset(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.int64))
    x, y = dataset[:]
    assert (x.shape, y.shape, dataset.num_classes) == ((0, 1, 28, 28), (0,), 0)
    with pytest.raises(ConfigError, match="of 0 samples"):
        dataset.split(0)


def test_the_labels_are_a_copy():
    images, labels = raw()
    dataset = ArrayDataset(images, labels)
    labels[:] = 9
    assert dataset.num_classes == 3


def floats(*shape):
    return np.zeros(shape, np.float32)


def with_bad_pixels(value):
    images = floats(12, 1, 5, 4)
    images[[7, 9], 0, 2, 2] = value
    return images


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (floats(11, 5, 4), ShapeError, "11 images but 12 labels"),
        (floats(12, 28, 28, 1), ShapeError, "looks like NHWC; use images.transpose(0, 3, 1, 2)"),
        (np.zeros((12, 32, 32, 3), np.uint8), ShapeError, "looks like NHWC"),
        (floats(12, 784), ShapeError, "images.reshape(-1, 1, H, W)"),
        (
            np.zeros((12, 5, 4), np.int64),
            DTypeError,
            "got int64: for pixels from 0 to 255 use images.astype(np.uint8)",
        ),
        (with_bad_pixels(np.nan), DataError, "2 image(s) hold NaN or infinity, the first is number 7"),
        (with_bad_pixels(-np.inf), DataError, "the first is number 7"),
        (np.zeros((12, 2, 5, 4), np.uint8), ConfigError, "channels must be 1 (grey) or 3 (RGB), got 2"),
    ],
)
def test_images_that_cannot_be_meant(images, error, text):
    with pytest.raises(error) as raised:
        ArrayDataset(images, np.zeros(12, int))
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.zeros(12), "labels must be integers, got float64: use labels.astype(np.int64)"),
        (np.zeros(12, bool), "labels must be integers, got bool"),
        (np.eye(12, dtype=int), "one-hot labels become class numbers by labels.argmax(axis=1)"),
        (np.zeros((12, 1), int), "got shape (12, 1): use labels.ravel()"),
        (np.array([0, 1, 2, -1] * 3), "labels must be 0 or more, got -1 at number 3"),
        (np.array([0, 1, 2, 3] * 3), "labels must be below 3, the number of class names, got 3 at number 3"),
        (np.array(["cat"] * 12), "np.unique(labels, return_inverse=True)"),
    ],
)
def test_labels_that_cannot_be_meant(labels, text):
    with pytest.raises(LabelError) as raised:
        ArrayDataset(raw()[0], labels, ["a", "b", "c"])
    assert text in str(raised.value)


def test_preprocessing_must_fit():
    images, labels = raw()
    with pytest.raises(ShapeError, match="preprocessing for 28x28 images"):
        ArrayDataset(images, labels, preprocessing=Preprocessing((28, 28)))
    with pytest.raises(DTypeError, match="or use float images without preprocessing"):
        ArrayDataset(floats(12, 5, 4), labels, preprocessing=Preprocessing((5, 4)))
