"""A finished run, read back; and a damaged one, explained and left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minicnn import weights
from minicnn.data import load
from minicnn.errors import ConfigError, DataError, RunError, WeightsError
from minicnn.models import build
from minicnn.train.finished import FinishedRun
from minicnn.train.run_folder import FORMAT


def change_config(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


class TestReadBack:
    def test_it_evaluates_to_the_accuracy_that_training_ended_with(self, trained: Path) -> None:
        results = json.loads((trained / "results.json").read_text())
        evaluation = FinishedRun(trained).evaluate()
        assert evaluation.accuracy == results["test_accuracy"]
        assert evaluation.loss == results["test_loss"]

    def test_the_data_set_can_be_named(self, trained: Path) -> None:
        finished = FinishedRun(trained)
        assert finished.evaluate("fashion-mnist-mini").accuracy == finished.evaluate().accuracy

    def test_a_picture_of_the_test_set_gets_the_answer_of_its_array(
        self, trained: Path, tmp_path: Path
    ) -> None:
        finished, bundle = FinishedRun(trained), load("fashion-mnist-mini")
        for index in range(3):
            path = tmp_path / f"{index}.png"
            Image.fromarray(bundle.test.images[index, 0]).save(path)
            prediction = finished.predict(path)
            logits = finished.model.eval()(bundle.test[[index]][0])[0].astype(np.float64)
            expected = np.exp(logits) / np.exp(logits).sum()
            order = np.argsort(-expected)
            assert prediction.path == str(path)
            assert prediction.classes == [finished.class_names[k] for k in order]
            np.testing.assert_allclose(prediction.probabilities, expected[order], rtol=1e-4)

    def test_it_prepares_by_what_the_run_has_stored(self, own_run: Path) -> None:
        before = FinishedRun(own_run).evaluate().loss
        change_config(own_run, lambda config: config["preprocessing"].update(mean=[0.9]))
        assert FinishedRun(own_run).evaluate().loss != before

    def test_reading_changes_nothing(self, own_run: Path) -> None:
        before = {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in own_run.rglob("*")
            if path.is_file()
        }
        finished = FinishedRun(own_run)
        finished.evaluate()
        with pytest.raises(DataError):
            finished.predict(own_run / "missing.png")
        assert {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in own_run.rglob("*")
            if path.is_file()
        } == before

    def test_other_classes_are_refused_also_when_there_are_as_many(self, own_run: Path) -> None:
        """Digits would be evaluated to a number that means nothing."""
        change_config(own_run, lambda c: c.update(class_names=[str(digit) for digit in range(10)]))
        with pytest.raises(ConfigError, match=r"other classes \(T-shirt/top.*than the run knows \(0, 1"):
            FinishedRun(own_run).evaluate()

    def test_an_unknown_data_set(self, trained: Path) -> None:
        with pytest.raises(DataError, match="did you mean 'fashion-mnist'"):
            FinishedRun(trained).evaluate("fashion")


class TestDamaged:
    def assert_refused(self, folder: Path, error: type[Exception], message: str) -> None:
        """It raises, and nothing in the folder has changed."""
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(error, match=message):
            FinishedRun(folder)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    def test_no_weights_yet(self, own_run: Path) -> None:
        (own_run / "best.safetensors").unlink()
        self.assert_refused(
            own_run, RunError, "has no weights yet: its training ended before the first epoch"
        )

    @pytest.mark.parametrize("kept", [0, 4, 100, 100_000, -1])
    def test_weights_cut_short(self, own_run: Path, kept: int) -> None:
        path = own_run / "best.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        self.assert_refused(
            own_run, WeightsError, r"best.safetensors is not a safetensors file, or it is damaged"
        )

    def test_weights_of_another_model(self, own_run: Path) -> None:
        weights.save(build("convnet3"), own_run / "best.safetensors")
        self.assert_refused(own_run, WeightsError, r"(?s)does not fit.*unexpected.*conv3\.weight")

    def test_config_cut_short(self, own_run: Path) -> None:
        path = own_run / "config.json"
        path.write_bytes(path.read_bytes()[:300])
        self.assert_refused(own_run, RunError, r"config.json is damaged")

    def test_a_newer_format(self, own_run: Path) -> None:
        change_config(own_run, lambda config: config.update(format=FORMAT + 1))
        self.assert_refused(own_run, RunError, "written by a newer minicnn")

    @pytest.mark.parametrize("part", ["model", "preprocessing", "class_names", "recipe"])
    def test_a_part_of_the_config_is_missing(self, own_run: Path, part: str) -> None:
        change_config(own_run, lambda config: config.pop(part))
        self.assert_refused(own_run, RunError, f"does not describe a run of this minicnn: it lacks '{part}'")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c["model"].update(name="lenet6"), "unknown model 'lenet6': did you mean 'lenet5'"),
            (lambda c: c["model"]["options"].update(depth=3), "depth"),
            (lambda c: c["model"].update(options=None), "does not describe a run"),
            (lambda c: c["model"]["options"].update(num_classes=-1), "does not describe a run"),
            (lambda c: c.update(model=["lenet5"]), "does not describe a run"),
            (lambda c: c["preprocessing"].update(std=[0.0]), "std must be positive"),
            (lambda c: c.update(preprocessing=7), "not a description of preprocessing"),
            (lambda c: c["class_names"].pop(), "9 class names for 10 outputs of the network"),
        ],
        ids=["model", "option", "no options", "classes", "list", "std", "preprocessing", "class names"],
    )
    def test_a_part_of_the_config_makes_no_sense(
        self, own_run: Path, change: Callable[[dict[str, Any]], Any], message: str
    ) -> None:
        change_config(own_run, change)
        self.assert_refused(own_run, RunError, message)
