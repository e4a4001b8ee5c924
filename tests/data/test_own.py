"""From a path to parts ready for training: decoding, bad files, splits without leaks, and the cache."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn import data
from minicnn.data import decode, locate
from minicnn.data.bad_files import to_csv
from minicnn.data.own import load_own
from minicnn.data.splits import duplicate_groups, held_out_mask
from minicnn.errors import ConfigError, DataError, LabelError, ShapeError
from tests.support.strategies import seeds


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(locate, "cache_dir", lambda: tmp_path / "the cache")


def picture(seed, size=(20, 16), colour=False):
    shape = (size[1], size[0], 3) if colour else (size[1], size[0])
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(folder: Path, counts: dict[str, int], colour=False, start=0) -> Path:
    """Pictures of unequal size, no two alike."""
    seed = start
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed += 1
            Image.fromarray(picture(seed, (12 + seed % 9, 10 + seed % 5), colour)).save(
                folder / name / f"{number}.png"
            )
    return folder


def fingerprints(dataset):
    return {image.tobytes() for image in np.asarray(dataset.images)}


class TestFolder:
    def test_from_a_folder_to_batches(self, tmp_path):
        bundle = load_own(write(tmp_path / "pets", {"cat": 40, "dog": 8}), input_shape=(1, 28, 28))
        assert bundle.class_names == ("cat", "dog")
        assert bundle.train.images.shape == (38, 1, 28, 28)
        assert bundle.test.class_counts.tolist() == [8, 2]
        assert bundle.validation is None
        x, _ = bundle.train[:]
        assert abs(x.mean()) < 1e-3
        assert x.dtype == np.float32
        assert bundle.bad_files == bundle.notes == ()

    @pytest.mark.parametrize(("colour", "channels"), [(False, 1), (True, 3)])
    def test_colour_is_seen(self, tmp_path, colour, channels):
        folder = write(tmp_path / "pets", {"cat": 5, "dog": 5}, colour)
        assert load_own(folder, input_shape=(None, 8, 8)).train.input_shape == (channels, 8, 8)
        assert load_own(folder, input_shape=(3, 8, 8)).train.input_shape == (3, 8, 8)

    def test_the_same_seed_gives_the_same_split(self, tmp_path):
        folder = write(tmp_path / "pets", {"cat": 20, "dog": 20})
        first, again, other = (load_own(folder, input_shape=(1, 8, 8), seed=seed) for seed in (0, 0, 1))
        assert fingerprints(first.test) == fingerprints(again.test) != fingerprints(other.test)
        assert not fingerprints(first.test) & fingerprints(first.train)

    def test_parts_of_its_own_are_kept(self, tmp_path):
        for start, (part, count) in enumerate({"train": 6, "val": 2, "test": 3}.items()):
            write(tmp_path / "pets" / part, {"cat": count, "dog": count}, start=100 * start)
        bundle = load_own(tmp_path / "pets", input_shape=(1, 8, 8))
        assert (len(bundle.train), len(bundle.validation), len(bundle.test)) == (12, 4, 6)

    def test_load_knows_a_path_from_a_name(self, tmp_path, monkeypatch):
        write(tmp_path / "mnist", {"cat": 5, "dog": 5})
        monkeypatch.chdir(tmp_path)
        assert data.load("./mnist", input_shape=(1, 8, 8)).class_names == ("cat", "dog")
        with pytest.raises(
            DataError, match=r"unknown data set 'mnizt': did you mean 'mnist'.* no such folder or file"
        ):
            data.load("mnizt")
        (tmp_path / "x.doc").write_text("")
        with pytest.raises(
            DataError, match=r"x\.doc is no folder: data of your own are a folder of images, a \.csv"
        ):
            data.load("x.doc")

    def test_a_stored_preprocessing_is_applied(self, tmp_path):
        folder = write(tmp_path / "pets", {"cat": 10, "dog": 10}, colour=True)
        stored = data.Preprocessing((9, 7), 1, mean=(0.5,), std=(0.2,))
        bundle = data.load(str(folder), preprocessing=stored)
        assert bundle.train.images.shape[1:] == (1, 9, 7)
        assert bundle.preprocessing is stored


class TestBadFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = write(tmp_path / "pets", {"cat": 12, "dog": 12})
        (folder / "cat" / "empty.png").write_bytes(b"")
        (folder / "cat" / "text.png").write_text("no picture")
        whole = (folder / "dog" / "1.png").read_bytes()
        (folder / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
        return folder

    def test_by_default_all_are_listed_and_nothing_is_trained(self, folder):
        with pytest.raises(DataError) as error:
            load_own(folder, input_shape=(1, 8, 8))
        text = str(error.value)
        assert text.startswith("3 of 27 files cannot be used:")
        for name in ("empty.png is empty", "text.png is not an image", "cut.png cannot be read"):
            assert name in text
        assert "--on-bad-file skip" in text

    def test_skipping_leaves_them_out_and_lists_them(self, folder):
        bundle = load_own(folder, input_shape=(1, 8, 8), on_bad_file="skip")
        assert len(bundle.train) + len(bundle.test) == 24
        assert [file.path.name for file in bundle.bad_files] == ["empty.png", "text.png", "cut.png"]
        lines = to_csv(bundle.bad_files).splitlines()
        assert lines[0] == "file,reason"
        assert len(lines) == 4

    def test_a_class_that_is_all_bad_is_left_out(self, folder):
        (folder / "bird").mkdir()
        (folder / "bird" / "1.png").write_bytes(b"x")
        bundle = load_own(folder, input_shape=(1, 8, 8), on_bad_file="skip")
        assert bundle.class_names == ("cat", "dog")
        assert "no image of bird can be read: left out of the classes" in bundle.notes
        assert set(bundle.train.labels) == {0, 1}

    def test_when_nothing_is_left(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / "x" / name).mkdir(parents=True)
            (tmp_path / "x" / name / "1.png").write_bytes(b"")
        with pytest.raises(DataError, match="2 of 2 files cannot be used"):
            load_own(tmp_path / "x", on_bad_file="skip")
        Image.fromarray(picture(1)).save(tmp_path / "x/a/1.png")
        with pytest.raises(DataError, match="only images of 'a' can be read"):
            load_own(tmp_path / "x", on_bad_file="skip")

    def test_many_are_cut_short_in_the_error(self, folder):
        for number in range(30):
            (folder / "cat" / f"bad {number}.png").write_bytes(b"")
        with pytest.raises(DataError, match="and 13 more"):
            load_own(folder)

    def test_an_unknown_policy(self, folder):
        with pytest.raises(ConfigError, match="unknown on_bad_file 'skipp': did you mean 'skip'"):
            load_own(folder, on_bad_file="skipp")
        with pytest.raises(ConfigError, match="unknown on_bad_file"):
            data.load("fashion-mnist-mini", on_bad_file="no")


class TestSplits:
    @given(
        seeds,
        st.lists(st.integers(1, 40), min_size=2, max_size=4),
        st.floats(0.05, 0.6),
        st.integers(0, 30),
    )
    def test_copies_stay_together_and_classes_in_proportion(self, seed, counts, share, copies):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(len(counts)), counts)
        groups = np.arange(len(labels))
        groups[rng.integers(0, len(labels), copies)] = groups[rng.integers(0, len(labels), copies)]
        mask = held_out_mask(labels, share, np.random.default_rng(seed), groups)
        assert not set(groups[mask]) & set(groups[~mask])
        for label in range(len(counts)):
            own = labels == label
            assert (
                (~mask)[own].any()
                or len(np.unique(groups[own])) == 0
                or (groups[own, None] == groups[~own]).any()
            )
            if copies == 0 and counts[label] >= 2:
                assert abs(mask[own].sum() - share * counts[label]) <= 1
                assert mask[own].any()

    def test_it_draws_and_keeps_to_the_seed(self):
        labels = np.arange(100) % 2
        masks = [held_out_mask(labels, 20, np.random.default_rng(seed)) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(masks[0], masks[1])
        assert (masks[0] != masks[2]).any()
        assert masks[0].sum() == 20

    @pytest.mark.parametrize("size", [1.0, -0.1, 10, True])
    def test_sizes_that_make_no_sense(self, size):
        with pytest.raises(ConfigError, match="cannot hold out"):
            held_out_mask(np.zeros(10, int), size, np.random.default_rng(0))
        with pytest.raises(ShapeError, match="one group number a sample"):
            held_out_mask(np.zeros(10, int), 0.5, np.random.default_rng(0), np.zeros(9))

    def test_groups_are_found_by_their_pixels(self):
        images = np.zeros((5, 1, 3, 3), np.uint8)
        images[1], images[3] = 7, 7
        assert duplicate_groups(images).tolist() == [0, 1, 0, 1, 0]

    def test_copies_in_a_folder_never_leak(self, tmp_path):
        folder = write(tmp_path / "pets", {"cat": 15, "dog": 15})
        for number in range(10):
            content = (folder / "cat" / f"{number}.png").read_bytes()
            (folder / "cat" / f"copy {number}.png").write_bytes(content)
        (folder / "dog" / "wrong.png").write_bytes((folder / "cat" / "0.png").read_bytes())
        for seed in range(10):
            bundle = load_own(folder, input_shape=(1, 8, 8), seed=seed, test=0.3)
            training, validation = bundle.train.split(0.2, rng=np.random.default_rng(seed))
            parts = [fingerprints(part) for part in (training, validation, bundle.test)]
            assert sum(map(len, parts)) == len(set.union(*parts))
            assert len(training) + len(validation) + len(bundle.test) == 41
        assert (
            "11 image(s) are copies of others, kept on one side of every split; 1 of them under another class"
            in bundle.notes
        )

    def test_training_copies_of_given_test_images_are_left_out(self, tmp_path):
        folder = tmp_path / "pets"
        write(folder / "train", {"cat": 8, "dog": 8})
        write(folder / "test", {"cat": 3, "dog": 3}, start=500)
        (folder / "train" / "cat" / "leak.png").write_bytes((folder / "test" / "cat" / "0.png").read_bytes())
        bundle = load_own(folder, input_shape=(1, 8, 8))
        assert (len(bundle.train), len(bundle.test)) == (16, 6)
        assert (
            "1 training image(s) are copies of test or validation images: left out of training"
            in bundle.notes
        )

    def test_too_few_images_are_answered(self, tmp_path):
        with pytest.raises(DataError, match=r"too few images to hold out a share of 0\.2 for testing"):
            load_own(write(tmp_path / "pets", {"cat": 1, "dog": 1}))
        with pytest.raises(ConfigError, match="test is the share"):
            load_own(write(tmp_path / "pets", {"cat": 4, "dog": 4}), test=1.5)


class TestCache:
    def load(self, folder):
        return load_own(folder, input_shape=(1, 8, 8))

    def test_decoding_is_done_once(self, tmp_path, monkeypatch):
        folder = write(tmp_path / "pets", {"cat": 6, "dog": 6})
        first = self.load(folder)
        assert len(list(decode.decoded_dir().glob("*.npy"))) == 1
        monkeypatch.setattr(decode, "read_image", lambda *args: pytest.fail("decoded again"))
        assert fingerprints(self.load(folder).train) == fingerprints(first.train)

    def test_a_changed_file_is_decoded_again(self, tmp_path):
        folder = write(tmp_path / "pets", {"cat": 6, "dog": 6})
        before = self.load(folder)
        Image.fromarray(picture(999, (13, 11))).save(folder / "cat" / "0.png")
        after = self.load(folder)
        both = [fingerprints(bundle.train) | fingerprints(bundle.test) for bundle in (before, after)]
        assert len(both[0] - both[1]) == 1

    def test_a_damaged_cache_is_made_anew(self, tmp_path):
        folder = write(tmp_path / "pets", {"cat": 6, "dog": 6})
        first = self.load(folder)
        (kept,) = decode.decoded_dir().glob("*.npy")
        for content in (b"", b"rubbish", kept.read_bytes()[:-100]):
            kept.write_bytes(content)
            assert fingerprints(self.load(folder).train) == fingerprints(first.train)

    def test_a_full_disk_costs_only_the_cache(self, tmp_path, monkeypatch):
        folder = write(tmp_path / "pets", {"cat": 6, "dog": 6})

        def full(*args, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(decode.np, "save", full)
        assert len(self.load(folder).train) == 10
        assert list(decode.decoded_dir().iterdir()) == []

    def test_the_oldest_goes_when_the_budget_is_reached(self, tmp_path, monkeypatch):
        monkeypatch.setattr(decode, "DISK_BUDGET", 2000)
        for number in range(4):
            self.load(write(tmp_path / f"pets {number}", {"cat": 6, "dog": 6}))
        kept = list(decode.decoded_dir().glob("*.npy"))
        assert sum(path.stat().st_size for path in kept) <= 2000
        assert len(kept) == 2

    def test_over_the_memory_budget_images_stay_on_disk_and_nothing_else_changes(self, tmp_path, monkeypatch):
        folder = write(tmp_path / "pets", {"cat": 12, "dog": 12})
        small = self.load(folder)
        for path in decode.decoded_dir().iterdir():
            path.unlink()
        for module in ("decode", "own"):
            monkeypatch.setattr(f"minicnn.data.{module}.MEMORY_BUDGET", 100)
        for _ in range(2):  # decoded, then from the cache
            large = self.load(folder)
            assert isinstance(large.train.images, data.stored.StoredImages)
            assert large.preprocessing == small.preprocessing
            split = [bundle.train.split(0.25, rng=np.random.default_rng(0)) for bundle in (small, large)]
            for mine, theirs in zip(*split):
                np.testing.assert_array_equal(mine[:][0], theirs[:][0])
                np.testing.assert_array_equal(mine.labels, theirs.labels)
            loaders = [
                data.Loader(
                    part,
                    4,
                    shuffle=True,
                    rng=np.random.default_rng(0),
                    transform=data.transforms.RandomRotation(9),
                )
                for part in (small.train, large.train)
            ]
            for (x, _), (other, _) in zip(*loaders):
                np.testing.assert_array_equal(x, other)


class TestNpz:
    def save(self, path, **arrays):
        np.savez_compressed(path, **arrays)
        return path

    def test_two_parts_channels_last_as_keras_has_them(self, tmp_path):
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (30, 12, 10, 3), dtype=np.uint8), np.arange(30) % 3
        path = self.save(
            tmp_path / "a.npz", x_train=x[:20], y_train=y[:20, None], x_test=x[20:], y_test=y[20:]
        )
        bundle = data.load(str(path))
        np.testing.assert_array_equal(bundle.test.images, x[20:].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(bundle.train.labels, y[:20])
        assert bundle.class_names == ("0", "1", "2")

    def test_one_part_is_split_and_scaled(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 256, (40, 50, 50), dtype=np.uint8)
        path = self.save(tmp_path / "a.npz", images=x, labels=np.arange(40) % 2, class_names=["no", "yes"])
        bundle = data.load(str(path), input_shape=(None, 28, 28))
        assert bundle.class_names == ("no", "yes")
        assert bundle.test.input_shape == (1, 28, 28)
        assert len(bundle.test) == 8
        again = data.load(str(path), preprocessing=bundle.preprocessing)
        np.testing.assert_array_equal(again.test[:][0], bundle.test[:][0])

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"a": np.zeros(3)}, "holds a: expected images and labels, or"),
            (
                {"images": np.zeros((4, 8, 8)), "labels": np.zeros(4, int)},
                "holds images of float64: expected uint8",
            ),
            (
                {"images": np.zeros((4, 2, 8, 8), np.uint8), "labels": np.zeros(4, int)},
                "images with 2 channels",
            ),
            (
                {"images": np.zeros((4, 8, 8), np.uint8), "labels": np.array(["a", "b", "c", "d"])},
                "labels must be class numbers",
            ),
            ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.zeros(3, int)}, "4 images but 3 labels"),
            (
                {"images": np.zeros((4, 8, 8), np.uint8), "labels": np.array([object()] * 4)},
                "pickled objects",
            ),
        ],
    )
    def test_what_does_not_fit_is_answered(self, tmp_path, arrays, message):
        path = tmp_path / "a.npz"
        np.savez(path, **arrays)
        with pytest.raises((DataError, LabelError, ShapeError), match=message):
            data.load(str(path))

    def test_an_array_that_claims_more_than_the_file_holds(self, tmp_path):
        path = self.save(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.zeros(4, int))
        import zipfile

        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts["images.npy"] = parts["images.npy"].replace(b"(4, 8, 8)", b"(4000000000, 8, 8)"[:9])
        header = (
            b"\x93NUMPY\x01\x00\x76\x00"
            + b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999, 999, 999), }".ljust(117)
            + b"\n"
        )
        parts["images.npy"] = header
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        with pytest.raises(DataError, match=r"is damaged: images\.npy claims 998,000,"):
            data.load(str(path))
