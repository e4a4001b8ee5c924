"""`minicnn evaluate` and `minicnn predict`, on a finished run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data import load
from tests.cli.said import Said, assert_one_line


class TestEvaluate:
    def test_a_table_with_a_line_a_class(self, minicnn: Callable[..., Said], trained: Path) -> None:
        said = minicnn("evaluate", trained)
        assert said.status == 0
        assert said.err == ""
        lines = said.out.splitlines()
        assert lines[0].split() == ["class", "precision", "recall", "f1", "images"]
        assert len({len(line) for line in lines[:11]}) == 1, "columns stand under their headings"
        names = json.loads((trained / "config.json").read_text())["class_names"]
        assert [line[: len(name)] for line, name in zip(lines[1:11], names)] == names
        assert all(line.endswith("   100") for line in lines[1:11])
        results = json.loads((trained / "results.json").read_text())
        assert lines[-1] == (
            f"test accuracy: {results['test_accuracy']:.1%} on 1,000 images, loss {results['test_loss']:.3f}"
        )

    def test_json(self, minicnn: Callable[..., Said], trained: Path) -> None:
        said = minicnn("evaluate", trained, "--json")
        assert said.err == ""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        answer = json.loads(said.out, parse_constant=refuse)
        results = json.loads((trained / "results.json").read_text())
        assert answer["accuracy"] == results["test_accuracy"]
        assert answer["loss"] == results["test_loss"]
        assert answer["images"] == 1000
        assert len(answer["classes"]) == 10
        for entry in answer["classes"]:
            assert set(entry) == {"class", "precision", "recall", "f1", "support"}
            assert entry["support"] == 100
        assert np.mean([entry["recall"] for entry in answer["classes"]]) == pytest.approx(answer["accuracy"])

    def test_a_class_that_is_never_predicted_has_no_precision(
        self, minicnn: Callable[..., Said], trained: Path, tmp_path: Path
    ) -> None:
        """A dash in the table, null in JSON: nan is neither English nor JSON."""
        from minicnn import weights

        run = tmp_path / "biased"
        run.mkdir()
        (run / "config.json").write_bytes((trained / "config.json").read_bytes())
        state = weights.read(trained / "best.safetensors")
        state["fc3.bias"][0] += 1e6  # everything is a T-shirt
        from safetensors.numpy import save_file

        save_file(state, run / "best.safetensors")
        table = minicnn("evaluate", run).out
        assert "nan" not in table
        assert re.search(r"^Trouser +- +0\.0% +0\.0% +100$", table, re.MULTILINE)
        trouser = json.loads(minicnn("evaluate", run, "--json").out)["classes"][1]
        assert trouser == {"class": "Trouser", "precision": None, "recall": 0.0, "f1": 0.0, "support": 100}

    def test_no_such_run(self, minicnn: Callable[..., Said]) -> None:
        assert_one_line(minicnn("evaluate", "nowhere"), "there is no run folder nowhere")

    def test_an_unknown_data_set(self, minicnn: Callable[..., Said], trained: Path) -> None:
        assert_one_line(minicnn("evaluate", trained, "--data", "mnits"), "did you mean 'mnist'?")


class TestPredict:
    @pytest.fixture
    def picture(self, tmp_path: Path) -> Callable[..., Path]:
        """Writes the first test image in another size, mode and format."""

        def write(name: str, size: tuple[int, int] = (28, 28), mode: str = "L") -> Path:
            pixels = load("fashion-mnist-mini").test.images[0, 0]
            path = tmp_path / name
            Image.fromarray(pixels).resize(size).convert(mode).save(path)
            return path

        return write

    def test_class_and_probability_and_the_next_two(
        self, minicnn: Callable[..., Said], trained: Path, picture: Callable[..., Path]
    ) -> None:
        path = picture("a.png")
        said = minicnn("predict", trained, path)
        assert said.status == 0
        assert said.err == ""
        answer = re.fullmatch(
            re.escape(str(path)) + r": (.+) (\d+\.\d)%  \(then (.+) (\d+\.\d)%, (.+) (\d+\.\d)%\)\n", said.out
        )
        assert answer
        names = json.loads((trained / "config.json").read_text())["class_names"]
        assert {answer[1], answer[3], answer[5]} <= set(names)
        shares = [float(answer[k]) for k in (2, 4, 6)]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 100.1

    def test_any_size_and_kind_of_picture(
        self, minicnn: Callable[..., Said], trained: Path, picture: Callable[..., Path]
    ) -> None:
        paths = [
            picture("grey.png"),
            picture("rgb.png", mode="RGB"),
            picture("alpha.png", mode="RGBA"),
            picture("palette.png", mode="P"),
            picture("bits.png", mode="1"),
            picture("photo.jpg", size=(301, 97), mode="RGB"),
            picture("grey.jpeg", size=(29, 500)),
            picture("dot.png", size=(1, 1)),
        ]
        said = minicnn("predict", trained, *paths)
        assert said.status == 0, said.err
        lines = said.out.splitlines()
        assert [line.split(": ")[0] for line in lines] == [str(path) for path in paths]
        # The same picture in colour or with an opaque alpha channel is the same picture.
        answers = [line.split(": ")[1] for line in lines]
        assert answers[0] == answers[1] == answers[2]

    def test_a_broken_picture_among_good_ones(
        self, minicnn: Callable[..., Said], trained: Path, picture: Callable[..., Path], tmp_path: Path
    ) -> None:
        good, other = picture("a.png"), picture("b.png")
        broken, text, missing = (tmp_path / name for name in ("broken.png", "notes.png", "missing.png"))
        broken.write_bytes(good.read_bytes()[:100])
        text.write_text("not a picture")
        said = minicnn("predict", trained, good, broken, text, missing, other)
        assert said.status == 1
        assert [line.split(": ")[0] for line in said.out.splitlines()] == [str(good), str(other)]
        errors = said.err.splitlines()
        assert len(errors) == 3
        for line, path in zip(errors, (broken, text, missing)):
            assert line.startswith("error: ")
            assert str(path) in line

    def test_no_such_run(self, minicnn: Callable[..., Said], picture: Callable[..., Path]) -> None:
        assert_one_line(minicnn("predict", "nowhere", picture("a.png")), "there is no run folder nowhere")

    def test_a_run_without_weights(
        self, minicnn: Callable[..., Said], trained: Path, tmp_path: Path, picture: Callable[..., Path]
    ) -> None:
        (tmp_path / "begun").mkdir()
        (tmp_path / "begun" / "config.json").write_bytes((trained / "config.json").read_bytes())
        assert_one_line(minicnn("predict", "begun", picture("a.png")), "begun has no weights yet")
