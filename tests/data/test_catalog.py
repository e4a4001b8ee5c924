from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn import data
from minicnn.data import catalog, locate
from minicnn.data.sources import SOURCES
from minicnn.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
FASHION = SOURCES["fashion-mnist"]


@pytest.fixture(scope="module")
def mini():
    return data.load("fashion-mnist-mini")


@pytest.fixture(scope="module")
def script():
    path = ROOT / "scripts" / "make_fashion_mnist_mini.py"
    spec = importlib.util.spec_from_file_location("make_fashion_mnist_mini", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_embedded_data_set_is_whole(mini):
    assert mini.train.images.shape == (5000, 1, 28, 28)
    assert mini.test.images.shape == (1000, 1, 28, 28)
    assert mini.train.images.dtype == np.uint8
    np.testing.assert_array_equal(mini.train.class_counts, [500] * 10)
    np.testing.assert_array_equal(mini.test.class_counts, [100] * 10)
    assert len(mini.class_names) == 10
    assert mini.class_names[8] == "Bag"


def test_the_embedded_file_is_small_and_has_its_licence():
    folder = Path(catalog.__file__).parent
    assert (folder / "fashion_mnist_mini.npz").stat().st_size <= 3_000_000
    licence = (folder / "fashion_mnist_mini.LICENSE").read_text()
    assert "Copyright (c) 2017 Zalando SE" in licence
    assert "Permission is hereby granted, free of charge" in licence


def test_no_image_is_on_both_sides(mini):
    train, test = ({image.tobytes() for image in part.images} for part in (mini.train, mini.test))
    assert not train & test


def test_batches_are_ready_for_a_network(mini):
    x, y = mini.train[:]
    assert (x.shape, x.dtype, y.dtype) == ((5000, 1, 28, 28), np.float32, np.int64)
    assert abs(x.mean(dtype=np.float64)) < 1e-4
    assert abs(x.std(dtype=np.float64) - 1) < 1e-4
    assert mini.test.preprocessing is mini.train.preprocessing is mini.preprocessing
    assert mini.preprocessing.mean == pytest.approx((0.28735,), abs=1e-5)


def test_the_way_a_newcomer_goes(mini):
    """The ten lines: load, split, prepare, iterate."""
    rng = np.random.default_rng(0)
    training, validation = mini.train.split(500, rng=rng)
    np.testing.assert_array_equal(validation.class_counts, [50] * 10)
    loader = data.Loader(training, batch_size=64, shuffle=True, rng=rng)
    x, y = next(iter(loader))
    assert (x.shape, y.shape, len(loader)) == ((64, 1, 28, 28), (64,), 71)


def test_images_are_padded_and_repeated_for_another_network(mini):
    padded = data.load("fashion-mnist-mini", input_shape=(3, 32, 32))
    assert padded.train.input_shape == (3, 32, 32)
    x, _ = padded.test[:5]
    np.testing.assert_array_equal(x[:, 2, 2:-2, 2:-2], mini.test[:5][0][:, 0])
    assert padded.train.images.shape == mini.train.images.shape


def test_a_stored_preprocessing_is_applied(mini):
    stored = data.Preprocessing.from_dict(
        {"image_size": [28, 28], "padding": 2, "mean": [0.5], "std": [0.25]}
    )
    again = data.load("fashion-mnist-mini", preprocessing=stored)
    assert again.preprocessing is stored
    np.testing.assert_array_equal(again.test[:3][0], stored(mini.test.images[:3]))
    with pytest.raises(ConfigError, match=r"contradicts the preprocessing, which makes \(1, 32, 32\)"):
        data.load("fashion-mnist-mini", input_shape=(1, 28, 28), preprocessing=stored)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DataError, match="unknown data set 'fashon-mnist': did you mean 'fashion-mnist'"):
        data.load("fashon-mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files_are_loaded(nowhere, write_source, name):
    write_source(name, nowhere / "mine")
    bundle = data.load(name, nowhere / "mine")
    assert bundle.train.images.shape == bundle.test.images.shape == (40, 1, 28, 28)
    assert bundle.train.images.dtype == np.uint8
    np.testing.assert_array_equal(bundle.train.labels, np.arange(40) % 10)
    assert bundle.class_names == SOURCES[name].class_names
    assert bundle.licence == SOURCES[name].licence


def test_a_named_data_set_is_never_replaced_by_another(nowhere):
    with pytest.raises(DataError, match="'mnist' was not found on this machine"):
        data.load("mnist")


def test_a_changed_file_is_refused(nowhere, write_source):
    source = write_source("mnist", nowhere / "mine", compress=False)
    path = nowhere / "mine" / source.files[0].name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is not the published one: the MD5"):
        data.load("mnist", nowhere / "mine")


def test_a_damaged_embedded_file_is_named(monkeypatch, tmp_path, mini):
    whole = catalog.EMBEDDED_FILE.read_bytes()
    monkeypatch.setattr(catalog, "EMBEDDED_FILE", tmp_path / "mini.npz")
    for content in (None, b"", whole[:1_000_000], whole[:5000] + bytes(3) + whole[5003:], b"PK\x03\x04 no"):
        if content is not None:
            (tmp_path / "mini.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"mini\.npz is missing or damaged .*install minicnn again"):
            data.load("fashion-mnist-mini")


def test_the_catalogue_says_what_is_here(nowhere, write_source):
    write_source("mnist", nowhere / "cache" / "mnist")
    infos = {info.name: info for info in data.available()}
    assert list(infos) == ["fashion-mnist-mini", "fashion-mnist", "mnist", "cifar-10", "cifar-100"]
    assert len(infos) == len({info.description for info in infos.values()})
    assert infos["fashion-mnist-mini"].found == catalog.EMBEDDED_FILE
    assert infos["fashion-mnist"].found is None
    assert "apt-get install dataset-fashion-mnist" in infos["fashion-mnist"].how_to_get
    assert infos["mnist"].found == nowhere / "cache" / "mnist"
    text = data.describe()
    assert "60,000 training and 10,000 test images, 28x28 grey, 10 classes; licence CC BY-SA 3.0" in text
    assert f"found in {nowhere / 'cache' / 'mnist'}" in text
    assert "not here; on Debian and Ubuntu: apt-get install dataset-fashion-mnist; or download" in text


def test_importing_is_light():
    code = (
        "import sys, minicnn.data; print([m for m in ('PIL', 'platformdirs', 'numba') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_the_script_writes_the_same_bytes_twice(script, tmp_path, mini):
    arrays = {"a": mini.test.images[:50], "b": mini.test.labels[:50]}
    for name in ("first.npz", "second.npz"):
        script.write_npz(tmp_path / name, arrays)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    with np.load(tmp_path / "first.npz", allow_pickle=False) as read:
        np.testing.assert_array_equal(read["a"], arrays["a"])


@pytest.mark.skipif(locate.find(FASHION) is None, reason="needs the full Fashion-MNIST files")
def test_the_full_data_set_holds_the_embedded_one(script, mini):
    full = data.load("fashion-mnist")
    assert (len(full.train), len(full.test)) == (60_000, 10_000)
    assert full.preprocessing.mean == pytest.approx((0.2860,), abs=1e-4)  # the widely used numbers
    assert full.preprocessing.std == pytest.approx((0.3530,), abs=1e-4)
    arrays = script.make_arrays(None)
    np.testing.assert_array_equal(arrays["train_images"], mini.train.images[:, 0])
    np.testing.assert_array_equal(arrays["test_labels"], mini.test.labels)
    np.testing.assert_array_equal(arrays["test_images"], mini.test.images[:, 0])
