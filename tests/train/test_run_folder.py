"""Run folders: nothing is ever overwritten, and what cannot be read is explained."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from minicnn.errors import RunError
from minicnn.train.run_folder import FORMAT, RunFolder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestCreate:
    def test_by_default_under_runs_with_time_and_model(self) -> None:
        folder = RunFolder.create(None, "lenet5").path
        assert folder.is_dir()
        assert folder.parent == Path("runs")
        stamp, model = folder.name.rsplit("-", 1)
        assert model == "lenet5"
        assert abs(time.time() - time.mktime(time.strptime(stamp, "%Y%m%d-%H%M%S"))) < 10

    def test_every_run_gets_a_folder_of_its_own_within_one_second_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "strftime", lambda pattern: "20260102-030405")
        names = [RunFolder.create(None, "lenet5").path.name for _ in range(3)]
        assert names == [
            "20260102-030405-lenet5",
            "20260102-030405-lenet5-2",
            "20260102-030405-lenet5-3",
        ]

    def test_out_makes_the_folders_on_the_way(self) -> None:
        assert RunFolder.create("a/b/c", "lenet5").path.is_dir()

    def test_an_empty_folder_will_do(self) -> None:
        Path("empty").mkdir()
        assert RunFolder.create("empty", "lenet5").path == Path("empty")

    def test_another_run_is_left_alone(self) -> None:
        RunFolder.create("run", "lenet5").write_config({"mine": 1})
        before = Path("run/config.json").read_bytes()
        with pytest.raises(RunError, match="run holds another run: choose another --out, or leave it out"):
            RunFolder.create("run", "lenet5")
        assert Path("run/config.json").read_bytes() == before

    def test_any_other_file_is_left_alone(self) -> None:
        Path("thesis").mkdir()
        Path("thesis/chapter1.tex").write_text("precious")
        with pytest.raises(RunError, match="thesis exists and is not an empty folder: choose another --out"):
            RunFolder.create("thesis", "lenet5")
        assert [path.name for path in Path("thesis").iterdir()] == ["chapter1.tex"]

    def test_a_file_of_that_name_is_left_alone(self) -> None:
        Path("notes.txt").write_text("precious")
        with pytest.raises(RunError, match=r"notes.txt exists and is not an empty folder"):
            RunFolder.create("notes.txt", "lenet5")
        assert Path("notes.txt").read_text() == "precious"

    def test_a_folder_that_cannot_be_made(self) -> None:
        Path("file").write_text("")
        with pytest.raises(RunError, match=r"cannot make the run folder file/run"):
            RunFolder.create("file/run", "lenet5")

    def test_where_runs_cannot_be_made_it_says_so(self) -> None:
        Path("runs").write_text("not a folder")
        with pytest.raises(
            RunError, match=r"cannot make the run folder runs.*choose another place with --out"
        ):
            RunFolder.create(None, "lenet5")


class TestConfig:
    def test_what_was_written_is_read_with_the_format(self) -> None:
        folder = RunFolder.create("run", "lenet5")
        folder.write_config({"class_names": ["Käse", "日本"], "lr": None, "mean": [0.1 + 0.2]})
        assert folder.read_config() == {
            "format": FORMAT,
            "class_names": ["Käse", "日本"],
            "lr": None,
            "mean": [0.1 + 0.2],
        }

    def test_it_is_readable_json(self) -> None:
        folder = RunFolder.create("run", "lenet5")
        folder.write_config({"class_names": ["Käse"]})
        text = folder.config_file.read_text(encoding="utf-8")
        assert '"Käse"' in text
        assert text.endswith("}\n")
        assert len(text.splitlines()) > 3

    def test_results_are_json_too(self) -> None:
        folder = RunFolder.create("run", "lenet5")
        folder.write_results({"test_accuracy": 0.5})
        assert json.loads(folder.results_file.read_text()) == {"test_accuracy": 0.5}

    def test_no_folder(self) -> None:
        with pytest.raises(
            RunError, match="there is no run folder nowhere: train one with minicnn train --out"
        ):
            RunFolder("nowhere").read_config()

    def test_a_folder_without_a_run(self) -> None:
        Path("photos").mkdir()
        with pytest.raises(RunError, match=r"photos is not a run folder: it has no config.json"):
            RunFolder("photos").read_config()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"config.json is damaged"),
            (b'{"format": 1, "recipe"', r"config.json is damaged"),
            (b"\xff\xfe\x00", r"config.json is damaged"),
            (b"[1, 2]", "is not the configuration of a run"),
            (b'{"name": "another program\'s"}', "is not the configuration of a run"),
            (b'{"format": "1"}', "is not the configuration of a run"),
        ],
        ids=["empty", "cut short", "not text", "a list", "another program's", "format as text"],
    )
    def test_a_damaged_or_foreign_file(self, content: bytes, message: str) -> None:
        folder = RunFolder.create("run", "lenet5")
        folder.config_file.write_bytes(content)
        with pytest.raises(RunError, match=message):
            folder.read_config()
        assert folder.config_file.read_bytes() == content

    def test_a_newer_format(self) -> None:
        folder = RunFolder.create("run", "lenet5")
        folder.config_file.write_text(json.dumps({"format": FORMAT + 1}))
        with pytest.raises(
            RunError, match=rf"written by a newer minicnn \(format {FORMAT + 1}.*update minicnn"
        ):
            folder.read_config()
