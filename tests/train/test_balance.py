"""What a run does about classes of unequal size, and about a folder of pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data import OverSampler, UnderSampler, locate
from minicnn.errors import ConfigError, DataError
from minicnn.losses import CrossEntropyLoss, FocalLoss, SoftCrossEntropyLoss
from minicnn.train.balance import BALANCES, BestBalancedWeights, make_loss, make_sampler
from minicnn.train.finished import FinishedRun
from minicnn.train.metrics import Evaluation, balanced_accuracy, macro_f1
from minicnn.train.recipe import Recipe, run
from tests.support.training import use_blank_figures

LABELS = np.array([0] * 30 + [1] * 10)


def test_every_way_has_its_loss_and_sampler() -> None:
    losses = {way: make_loss(way, LABELS, 2, False) for way in BALANCES}
    samplers = {way: make_sampler(way, LABELS) for way in BALANCES}
    assert isinstance(losses["none"], CrossEntropyLoss)
    assert losses["none"].weight is None
    for way in ("weights", "focal"):
        np.testing.assert_allclose(losses[way].weight, [40 / 60, 2])  # type: ignore[attr-defined]
    assert isinstance(losses["focal"], FocalLoss)
    assert isinstance(samplers["oversample"], OverSampler)
    assert isinstance(samplers["undersample"], UnderSampler)
    assert samplers["none"] is samplers["weights"] is samplers["focal"] is None
    assert isinstance(make_loss("weights", LABELS, 2, True), SoftCrossEntropyLoss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"balance": "weight"}, "unknown balance 'weight': did you mean 'weights'"),
        ({"balance": "focal", "augment": "mixup"}, "balance 'focal' needs one class an image"),
        ({"augment": "lite"}, "unknown augmentation 'lite': did you mean 'light'"),
        ({"on_bad_file": "skipp"}, "unknown on_bad_file 'skipp': did you mean 'skip'"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe(**settings)  # type: ignore[arg-type]


class TestMetrics:
    def test_balanced_accuracy_is_the_mean_recall(self) -> None:
        confusion = np.array([[90, 10, 0], [5, 5, 0], [0, 0, 0]])
        assert balanced_accuracy(confusion) == pytest.approx((0.9 + 0.5) / 2)
        assert np.isnan(balanced_accuracy(np.zeros((2, 2), int)))

    def test_guessing_the_largest_class_is_worth_a_kth(self) -> None:
        assert balanced_accuracy(np.array([[99, 0], [1, 0]])) == 0.5

    def test_macro_f1_is_the_mean_f1_of_the_classes_that_occur(self) -> None:
        confusion = np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]])
        assert macro_f1(confusion) == pytest.approx((16 / 22 + 12 / 18) / 2)
        assert macro_f1(np.array([[10, 0], [5, 0]])) == pytest.approx((20 / 25 + 0) / 2)
        assert np.isnan(macro_f1(np.zeros((2, 2), int)))

    def test_an_evaluation_has_them(self) -> None:
        evaluation = Evaluation(0.0, np.array([[2.0, 0], [1, 0], [0, 3]]), np.array([0, 1, 1]))
        assert evaluation.balanced_accuracy == 0.75
        assert evaluation.macro_f1 == pytest.approx(2 / 3)
        np.testing.assert_allclose(evaluation.probabilities.sum(axis=1), 1)


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 bright squares and 12 bright stripes, of unequal sizes, colour, and one file that is no picture."""
    monkeypatch.setattr(locate, "cache_dir", lambda: tmp_path / "cache")
    use_blank_figures(monkeypatch)
    rng = np.random.default_rng(0)
    for name, count in (("a square", 40), ("stripes", 12)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 60, (20 + number % 7, 30, 3), dtype=np.uint8)
            if name == "a square":
                pixels[6:14, 10:20, 0] = 220
            else:
                pixels[::4, :, 1] = 220
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.jpg", quality=95)
    return tmp_path / "pets"


def test_a_folder_is_trained_on_evaluated_and_its_pictures_predicted(pets: Path, tmp_path: Path) -> None:
    recipe = Recipe(data=str(pets), epochs=8, balance="weights", augment="light")
    result = run(recipe, out=tmp_path / "run", quiet=True)
    assert result.test.balanced_accuracy > 0.9
    assert (tmp_path / "run" / "class_curves.png").stat().st_size > 5000
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(results["test_recall"]) == {"a square", "stripes"}
    assert results["test_balanced_accuracy"] == result.test.balanced_accuracy
    finished = FinishedRun(tmp_path / "run")
    assert finished.preprocessing.channels == 3
    np.testing.assert_array_equal(finished.evaluate().labels, result.test.labels)
    np.testing.assert_allclose(finished.evaluate().outputs, result.test.outputs, atol=1e-5)
    assert finished.predict(pets / "stripes" / "0.jpg").classes[0] == "stripes"


@pytest.mark.parametrize(
    "settings", [{"balance": way} for way in BALANCES[2:]] + [{"augment": "mixup,cutmix"}], ids=str
)
def test_every_way_trains(pets: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    result = run(Recipe(data=str(pets), epochs=1, **settings), out=tmp_path / "run", quiet=True)  # type: ignore[arg-type]
    assert np.isfinite(result.test.loss)


def test_the_same_seed_gives_the_same_weights_with_augmentation_and_its_thread(
    pets: Path, tmp_path: Path
) -> None:
    recipe = Recipe(data=str(pets), epochs=2, augment="strong", balance="oversample")
    first, again = (run(recipe, out=tmp_path / name, quiet=True).folder for name in ("first", "again"))
    assert first.weights_file.read_bytes() == again.weights_file.read_bytes()


def test_bad_files_stop_the_run_or_are_listed(
    pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "stripes" / "broken.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 53 files cannot be used:\n.*broken\.jpg is empty"):
        run(Recipe(data=str(pets), epochs=1), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run(Recipe(data=str(pets), epochs=1, on_bad_file="skip"), out=tmp_path / "run")
    with (tmp_path / "run" / "bad_files.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == str(pets / "stripes" / "broken.jpg")
    assert "1 file(s) cannot be used and were left out" in capsys.readouterr().err
    assert len(FinishedRun(tmp_path / "run").evaluate().labels) == 10


def test_a_validation_part_of_its_own_is_used(pets: Path, tmp_path: Path) -> None:
    for part, numbers in (("train", range(20)), ("val", range(20, 26)), ("test", range(26, 30))):
        for name in ("a square", "stripes"):
            target = tmp_path / "split" / part / name
            target.mkdir(parents=True)
            for number in numbers:
                source = pets / name / f"{number % (40 if name == 'a square' else 12)}.jpg"
                pixels = np.asarray(Image.open(source)).copy()
                pixels[0, 0] = number
                Image.fromarray(pixels).save(target / f"{number}.png")
    seen = []
    keep = BestBalancedWeights.after_epoch

    def after_epoch(self, trainer):  # type: ignore[no-untyped-def]
        seen.append(len(trainer.evaluation.labels))
        keep(self, trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BestBalancedWeights, "after_epoch", after_epoch)
        result = run(
            Recipe(data=str(tmp_path / "split"), epochs=1, balance="weights"),
            out=tmp_path / "run",
            quiet=True,
        )
    assert seen == [12]
    assert len(result.test.labels) == 8
