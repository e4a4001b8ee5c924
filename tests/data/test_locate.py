from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.data import locate
from minicnn.errors import DataError


@pytest.mark.parametrize(
    "place",
    [
        "mine",
        "mine/mnist",
        "mine/MNIST/raw",
        "env",
        "env/MNIST/raw",
        "cache/mnist",
        "system/mnist",
        "data/MNIST/raw",
    ],
)
@pytest.mark.parametrize("compress", [False, True], ids=["raw", "gz"])
def test_every_place_is_searched(nowhere, write_source, monkeypatch, place, compress):
    monkeypatch.setattr(locate, "DATA_DIR", str(nowhere / "env"))
    source = write_source("mnist", nowhere / place, compress=compress)
    found = locate.find(source, nowhere / "mine")
    assert found.resolve() == nowhere / place
    names = [file.name + ".gz" * compress for file in source.files]
    assert [path.name for path in locate.find_files(source, nowhere / "mine")] == names


def test_the_folder_that_is_named_comes_first(nowhere, write_source):
    write_source("mnist", nowhere / "cache" / "mnist")
    source = write_source("mnist", nowhere / "mine")
    assert locate.find(source, nowhere / "mine") == nowhere / "mine"
    assert locate.find(source) == nowhere / "cache" / "mnist"


def test_a_folder_with_another_data_set_is_passed_over(nowhere, write_source):
    """MNIST and Fashion-MNIST have the same file names."""
    write_source("fashion-mnist", nowhere / "mine", seed=1)
    mnist = write_source("mnist", nowhere / "elsewhere", seed=2)
    with pytest.raises(DataError, match=r"mine \(holds fashion-mnist\)"):
        locate.find_files(mnist, nowhere / "mine")


def test_not_found_says_all_that_is_needed(nowhere, write_source):
    source = write_source("fashion-mnist", nowhere / "mine")
    (nowhere / "mine" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError) as error:
        locate.find_files(source, nowhere / "mine")
    text = str(error.value)
    assert "data set 'fashion-mnist' was not found on this machine" in text
    assert f"{nowhere / 'mine'} (lacks t10k-images-idx3-ubyte)" in text
    assert f"{nowhere / 'cache' / 'FashionMNIST' / 'raw'} (no such folder)" in text
    assert source.url in text
    assert "apt-get install dataset-fashion-mnist" in text
    for file in source.files:
        assert f"{file.name}.gz  SHA-256 {file.sha256}  (decompressed: MD5 {file.md5})" in text


def test_the_home_folder_may_be_a_tilde(nowhere, write_source, monkeypatch):
    monkeypatch.setenv("HOME", str(nowhere))
    monkeypatch.setenv("USERPROFILE", str(nowhere))
    source = write_source("mnist", nowhere / "mine")
    assert locate.find(source, "~/mine") == nowhere / "mine"


@pytest.mark.parametrize(("value", "expected"), [("/some/folder", "/some/folder"), ("", None)])
def test_the_environment_variable_is_read_at_start(value, expected):
    code = "from minicnn.data import locate; print(locate.DATA_DIR)"
    environment = {**os.environ, "MINICNN_DATA_DIR": value, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout.strip() == str(expected), result.stderr
