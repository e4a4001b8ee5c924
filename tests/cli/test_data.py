"""`minicnn data`, and training on a folder of one's own: 100 pictures of one class and 20 of another."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.weights import files as weights_files
from tests.cli.said import Said, assert_one_line
from tests.support.training import use_blank_figures

COUNTS = {"bright": 100, "dark": 20}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, count in COUNTS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            size = rng.integers(10, 40, 2)
            pixels = rng.integers(0, 100, size) + (100 if name == "bright" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def large_picture(path: Path) -> None:
    """The header of 10,000 x 10,000 pixels: more than Pillow's limit, less than what Pillow itself refuses."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


class TestInfo:
    def test_counts_advice_and_a_contact_sheet(
        self, minicnn: Callable[..., Said], folder: Path, tmp_path: Path
    ) -> None:
        said = minicnn("data", "info", "photos", "--sheet", "sheet.png")
        assert (said.status, said.err) == (0, "")
        assert "photos: 120 images of 2 classes" in said.out
        assert "classes of unequal size, from 20 to 100 images: try --balance weights" in said.out
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert sheet.format == "PNG"
            assert sheet.width > 500

    def test_what_cannot_be_used_is_listed_once_and_in_our_words(
        self, minicnn: Callable[..., Said], folder: Path
    ) -> None:
        large_picture(folder / "dark" / "large.png")
        (folder / "dark" / "empty.png").touch()
        said = minicnn("data", "info", "photos", "--json")
        assert (said.status, said.err) == (0, "")
        reasons = [bad["reason"] for bad in json.loads(said.out)["bad_files"]]
        assert len(reasons) == 2
        assert "empty.png is empty" in reasons[0]
        assert "large.png has 10000 x 10000 pixels, more than the limit" in reasons[1]

    def test_a_sheet_that_cannot_be_written_names_the_file_and_leaves_none(
        self, minicnn: Callable[..., Said], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = minicnn("data", "info", "photos", "--sheet", "nowhere/sheet.png")
        assert said.status == 1
        assert said.err == "error: cannot write sheet.png: there is no folder nowhere\n"

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(weights_files.os, "fsync", full)
        said = minicnn("data", "info", "photos", "--sheet", "sheet.png")
        assert said.status == 1
        assert said.err == "error: No space left on device: sheet.png; make room and try again\n"
        assert [path.name for path in tmp_path.iterdir()] == ["photos"]

    def test_long_names_do_not_push_the_counts_off_the_page(
        self, minicnn: Callable[..., Said], folder: Path
    ) -> None:
        (folder / "dark").rename(folder / ("d" * 200))
        lines = minicnn("data", "info", "photos").out.splitlines()
        assert max(len(line) for line in lines if line.startswith("d")) < 60

    def test_a_table_of_one_class_is_named(
        self, minicnn: Callable[..., Said], folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "mine.csv").write_text("file,label\nphotos/dark/0.png,dark\nphotos/dark/1.png,dark\n")
        for command in (("data", "info", "mine.csv"), ("train", "--data", "mine.csv")):
            assert_one_line(minicnn(*command), "error: mine.csv has images of one class only, 'dark'")


class TestTrain:
    def test_with_classes_of_unequal_size_the_least_recall_is_said(
        self, minicnn: Callable[..., Said], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Accuracy alone would look well where the small class is never found."""
        use_blank_figures(monkeypatch)
        said = minicnn("train", "--data", "photos", "--epochs", 1, "--lr", 1e-9, "--out", "mine", "--quiet")
        assert said.status == 0, said.err
        results = json.loads((tmp_path / "mine" / "results.json").read_text())
        name, least = min(results["test_recall"].items(), key=lambda item: item[1])
        assert said.out.splitlines()[:2] == [
            f"test accuracy: {results['test_accuracy']:.1%}",
            "balanced accuracy (the mean recall of the classes): "
            f"{results['test_balanced_accuracy']:.1%}; the least recall: {least:.1%}, of {name}",
        ]
        last = minicnn("evaluate", "mine").out.splitlines()[-1]
        assert last.endswith(f": {results['test_balanced_accuracy']:.1%}")
        assert json.loads(minicnn("evaluate", "mine", "--json").out)["balanced_accuracy"] == pytest.approx(
            results["test_balanced_accuracy"]
        )
        header, row = minicnn("compare", "mine").out.splitlines()
        assert "test accuracy  balanced accuracy" in header
        assert f"{results['test_balanced_accuracy']:.2%}" in row
        assert (tmp_path / "mine" / "class_curves.png").exists()
        assert 'id="class-curves"' in (tmp_path / "mine" / "report.html").read_text()
