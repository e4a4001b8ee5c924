"""CIFAR's archives, written here as the published ones are, and pickles that would do more than hold data."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import data
from minicnn.data import cifar, locate
from minicnn.data.cifar import file_md5, read_cifar, read_data_pickle
from minicnn.data.sources import SOURCES
from minicnn.errors import DataError


def batch(n=6, seed=0, labels="labels", classes=10):
    rng = np.random.default_rng(seed)
    return {
        "batch_label": f"batch {seed}",
        labels: rng.integers(0, classes, n).tolist(),
        "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
        "filenames": [f"thing_{number}.png" for number in range(n)],
    }


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def members_10(protocol=2):
    batches = {f"data_batch_{number}": batch(seed=number) for number in range(1, 6)}
    batches["test_batch"] = batch(4, seed=9)
    return {f"cifar-10-batches-py/{name}": pickle.dumps(b, protocol) for name, b in batches.items()}


@pytest.mark.parametrize("protocol", range(1, 5))
def test_cifar_10_is_read(tmp_path, protocol):
    """The published archives have protocol 2."""
    path = archive(
        tmp_path / "cifar-10-python.tar.gz", members_10(protocol) | {"cifar-10-batches-py/readme.html": b"x"}
    )
    content = read_cifar(path, md5=file_md5(path))
    assert content.train_images.shape == (30, 3, 32, 32)
    expected = [batch(seed=number) for number in range(1, 6)]
    np.testing.assert_array_equal(content.train_images[6:12].reshape(6, -1), expected[1]["data"])
    np.testing.assert_array_equal(content.train_labels, np.concatenate([b["labels"] for b in expected]))
    assert content.test_images.dtype == np.uint8
    assert len(content.test_labels) == 4


def test_python_2_pickled_its_bytes_as_text(tmp_path):
    """Its strings are what Python 3 calls bytes: the published files hold SHORT_BINSTRING and BINSTRING."""
    raw = bytes(range(256)) * 12
    pickled = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05U\x01b\x87q\x06Rq\x07"
        b"(K\x01K\x01M\x00\x0c\x86q\x08cnumpy\ndtype\nq\x09U\x02u1q\x0aK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
        b"b\x89T" + len(raw).to_bytes(4, "little") + raw + b"tbU\x06labelsq\x0d]q\x0eK\x07au."
    )
    found = read_data_pickle(pickled, "it")
    np.testing.assert_array_equal(found["data"][0], np.frombuffer(raw, np.uint8))
    assert found["labels"] == [7]


def test_cifar_100_has_fine_labels(tmp_path):
    members = {
        f"cifar-100-python/{name}": pickle.dumps(batch(seed=seed, labels="fine_labels", classes=100), 2)
        for seed, name in enumerate(("train", "test"))
    }
    content = read_cifar(archive(tmp_path / "c.tar.gz", members))
    np.testing.assert_array_equal(
        content.test_labels, batch(seed=1, labels="fine_labels", classes=100)["fine_labels"]
    )


def test_it_is_a_data_set_of_the_catalogue(tmp_path, monkeypatch):
    from dataclasses import replace

    path = archive(tmp_path / "cifar-10-python.tar.gz", members_10())
    source = SOURCES["cifar-10"]
    published = replace(source, files=(replace(source.files[0], md5=file_md5(path)),))
    monkeypatch.setitem(SOURCES, "cifar-10", published)
    bundle = data.load("cifar-10", tmp_path)
    assert bundle.class_names[3] == "cat"
    assert bundle.train.input_shape == (3, 32, 32)
    assert data.load("cifar-10", tmp_path, input_shape=(3, 32, 32)).test[:2][0].shape == (2, 3, 32, 32)
    monkeypatch.setitem(SOURCES, "cifar-10", source)
    with pytest.raises(DataError, match=r"is not the published archive: its MD5 is"):
        data.load("cifar-10", tmp_path)
    monkeypatch.setattr(locate, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="minicnn data fetch cifar-100"):
        data.load("cifar-100")


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/minicnn-was-here",)


class Open:
    def __reduce__(self):
        return open, ("x", "w")


@pytest.mark.parametrize(
    "evil", [Evil(), Open(), {"data": Evil()}, [np.zeros], np.dtype, Path("x")], ids=range(6)
)
def test_a_pickle_that_would_do_something_is_refused_by_name(evil):
    for protocol in range(6):
        with pytest.raises(DataError, match=r"no data: it is not read|does more than hold data"):
            read_data_pickle(pickle.dumps(evil, protocol), "it")
    assert not Path("/tmp/minicnn-was-here").exists()


def test_arrays_of_anything_but_bytes_are_refused():
    for array in (np.array([object()]), np.zeros((2, 2), dtype="f4").T.copy(order="F")):
        with pytest.raises(DataError):
            read_data_pickle(pickle.dumps({"data": array}, 2), "it")


def test_containers_strings_and_numbers_are_data():
    value = {"a": [1, 2.5, "x", b"y", None, True, (1, 2), {}], "b": {"c": 10**30}}
    for protocol in range(1, 6):
        assert read_data_pickle(pickle.dumps(value, protocol), "it")["a"][:3] == [1, 2.5, "x"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil"])
def test_members_that_lead_outside_are_refused(tmp_path, name):
    path = archive(tmp_path / "c.tar.gz", members_10() | {name: b"x"})
    with pytest.raises(DataError, match="has a member that leads outside"):
        read_cifar(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["c.tar.gz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((6, 5), np.uint8)}, "holds no images of 3 x 32 x 32 bytes"),
        ({"data": [1, 2]}, "holds no images"),
        ({"labels": [1, 2]}, "does not hold one label"),
        ({"labels": [1, 2, 3, 4, 5, 100]}, "label from 0 to 99"),
        ({"labels": "abcdef"}, "does not hold one label"),
    ],
)
def test_content_that_is_no_cifar(tmp_path, change, message):
    members = members_10() | {"cifar-10-batches-py/data_batch_2": pickle.dumps(batch() | change, 2)}
    with pytest.raises(DataError, match=message):
        read_cifar(archive(tmp_path / "c.tar.gz", members))


def test_damaged_and_missing_archives_are_named(tmp_path):
    path = archive(tmp_path / "c.tar.gz", members_10())
    whole = path.read_bytes()
    with pytest.raises(DataError, match="does not exist"):
        read_cifar(tmp_path / "no.tar.gz")
    for content in (b"", b"rubbish", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"c\.tar\.gz"):
            read_cifar(path)
    with pytest.raises(DataError, match="lacks test_batch"):
        read_cifar(archive(path, {k: v for k, v in members_10().items() if "test" not in k}))


def test_a_member_that_claims_too_much_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "MEMBER_LIMIT", 1000)
    with pytest.raises(DataError, match="more than CIFAR has"):
        read_cifar(archive(tmp_path / "c.tar.gz", members_10()))


@settings(max_examples=200)
@given(st.data())
def test_mutated_pickles_give_data_or_a_data_error(data):
    content = bytearray(pickle.dumps(batch(2), data.draw(st.integers(0, 5))))
    header = list(range(min(200, len(content))))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.sampled_from(header))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        read_data_pickle(bytes(content), "it")
