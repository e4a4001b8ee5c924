"""Reports: one file that holds all it shows; runs side by side; time by layer."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from minicnn.errors import ConfigError, RunError
from minicnn.losses import CrossEntropyLoss
from minicnn.plots.style import new_picture
from minicnn.train.finished import FinishedRun
from minicnn.train.history import EpochRecord, History
from minicnn.train.metrics import Evaluation
from minicnn.train.report import compare, time_layers, write_report
from minicnn.train.report.compare import compare_command
from minicnn.train.report.page import figure, page, section, table, tiles
from minicnn.train.report.run_report import command_of
from minicnn.train.run_folder import RunFolder
from tests.support.training import tiny_data, tiny_network, weights_digest


class TestPage:
    def test_what_users_wrote_is_text_and_not_html(self) -> None:
        evil = "<script>alert('x')</script>"
        html = page(evil, evil, [tiles([(evil, evil)]), section(evil, table((evil,), [(evil,)]))])
        assert "<script" not in html
        assert html.count("&lt;script&gt;") == 8

    @pytest.mark.parametrize("pixels", [True, False])
    def test_figures_are_within_the_page(self, pixels: bool) -> None:
        html = figure("name", new_picture(2, 1), 'a "caption" & more', pixels=pixels)
        assert re.search(r'src="data:image/(png|svg\+xml);base64,[\w+/=]+"', html)
        assert 'alt="a &quot;caption&quot; &amp; more"' in html

    def test_the_best_row_is_set_off(self) -> None:
        assert '<tr class="best"><td>b</td></tr>' in table(("x",), [("a",), ("b",)], best=1)


class TestRunReport:
    @pytest.fixture
    def report(self, own_run: Path) -> str:
        finished = FinishedRun(own_run)
        test = finished.evaluate()
        history = History([EpochRecord(1, 0.1, 2.0, 0.4, 1.0, 0.5, 3.0, 100.0)])
        from minicnn import data

        images = data.load(finished.data).test
        write_report(RunFolder(own_run), finished.model, history, test, images, 1)
        return (own_run / "report.html").read_text(encoding="utf-8")

    def test_it_holds_every_part_and_asks_for_nothing_else(self, report: str) -> None:
        assert re.findall(r'<figure id="(\w+)"', report) == [
            "curves",
            "confusion",
            "mistakes",
            "filters",
            "timings",
        ]
        headings = re.findall("<h2>(.*?)</h2>", report)
        assert headings == [
            "Learning curves",
            "Confusion matrix",
            "By class",
            "Hardest mistakes",
            "Filters of the first layer",
            "Time by layer",
            "Settings",
            "To do it again",
        ]
        assert not re.search(r'(src|href)="(?!data:)', report)
        assert "http" not in re.sub(r'src="data:[^"]*"', "", report)
        assert len(report) < 2_000_000

    def test_it_says_how_to_do_it_again(self, report: str, own_run: Path) -> None:
        import hashlib

        assert "minicnn train --model lenet5 --data fashion-mnist-mini --epochs 1 --seed 0" in report
        digest = hashlib.sha256((own_run / "best.safetensors").read_bytes()).hexdigest()
        assert f"SHA-256 {digest}" in report
        for name in json.loads((own_run / "config.json").read_text())["class_names"]:
            assert name in report

    def test_settings_that_differ_are_in_the_command(self) -> None:
        recipe = {
            "model": "lenet5",
            "data": "mnist",
            "epochs": 2,
            "seed": 1,
            "batch_size": 64,
            "lr": 0.1,
            "clip_norm": 1.0,
        }
        assert command_of(recipe) == (
            "minicnn train --model lenet5 --data mnist --epochs 2 --seed 1 --lr 0.1 --clip-norm 1.0"
        )

    def test_a_network_without_mistakes(self, own_run: Path) -> None:
        from minicnn import data

        finished = FinishedRun(own_run)
        images = data.load(finished.data).test.subset(slice(0, 8))
        outputs = np.eye(10, dtype=np.float32)[images.labels] * 9
        history = History([EpochRecord(1, 0.1, 2.0, 0.4, 1.0, 0.5, 3.0, 100.0)])
        write_report(
            RunFolder(own_run), finished.model, history, Evaluation(0.0, outputs, images.labels), images, 1
        )
        report = (own_run / "report.html").read_text(encoding="utf-8")
        assert "There are none." in report
        assert "Nothing is confused." in report


def test_every_layer_is_timed_and_the_model_stays() -> None:
    model = tiny_network()
    digest, random = weights_digest(model), model.drop.random_state()
    data = tiny_data(8)
    times = time_layers(model, CrossEntropyLoss(), *data[np.arange(8)], repeats=2)
    assert times.names == ["conv", "bn", "act", "pool", "flatten", "drop", "fc"]
    assert times.kinds[0] == "Conv2d"
    assert all(seconds > 0 for seconds in times.forward + times.backward)
    assert (weights_digest(model), model.drop.random_state()) == (digest, random)
    assert "forward" not in vars(model.conv)


class TestCompare:
    @pytest.fixture
    def two(self, trained: Path, tmp_path: Path) -> list[Path]:
        """A run, and one that differs in its seed and was a little better."""
        other = Path(shutil.copytree(trained, tmp_path / "other"))
        for name, change in (("config.json", {}), ("results.json", {"test_accuracy": 0.999})):
            content = json.loads((other / name).read_text()) | change
            if "recipe" in content:
                content["recipe"] |= {"seed": 7, "lr": 0.25}
            (other / name).write_text(json.dumps(content))
        return [trained, other]

    def test_what_differs_and_what_came_out(self, two: list[Path]) -> None:
        result = compare(two)
        assert result.header[:3] == ["run", "lr", "seed"]
        assert result.best == 1
        assert [row[:3] for row in result.rows] == [[two[0].name, "-", "0"], ["other", "0.25", "7"]]
        assert result.rows[1][3] == "99.90%"

    def test_as_a_page_with_a_figure_and_nothing_overwritten(self, two: list[Path], tmp_path: Path) -> None:
        out = tmp_path / "c.html"
        said = compare_command(two, out)
        assert said.splitlines()[0].split()[:3] == ["run", "lr", "seed"]
        assert '<figure id="curves">' in out.read_text()
        with pytest.raises(ConfigError, match="exists already"):
            compare_command(two, out)

    def test_runs_of_one_name_are_told_apart(self, trained: Path) -> None:
        assert [row[0] for row in compare([trained, trained]).rows] == [trained.name, f"{trained.name} (2)"]

    def test_what_is_no_finished_run(self, own_run: Path, tmp_path: Path) -> None:
        (own_run / "results.json").unlink()
        with pytest.raises(RunError, match="has no results yet: go on with it by minicnn train --resume"):
            compare([own_run])
        (own_run / "results.json").write_text("{}")
        with pytest.raises(RunError, match="is not a whole run: KeyError 'test_accuracy'"):
            compare([own_run])
        with pytest.raises(RunError, match="there is no run folder"):
            compare([tmp_path / "nowhere"])
        with pytest.raises(ConfigError, match="name one run folder or more"):
            compare([])
