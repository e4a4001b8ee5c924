"""`minicnn doctor` on a real network and real images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minicnn.errors import RunError
from minicnn.train.doctor.command import doctor_command
from minicnn.train.recipe import Recipe

pytestmark = pytest.mark.slow


def test_the_default_training_is_healthy_and_figures_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor_command(Recipe(), tmp_path / "out", None, as_json=False) == 0
    assert "nothing is wrong: train." in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"input.png", "depth.png", "lr_sweep.png"}


@pytest.mark.parametrize(("lr", "fault"), [(0.4, "learning rate too high"), (4e-5, "learning rate too low")])
def test_a_rate_a_hundred_times_off(lr: float, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor_command(Recipe(lr=lr), None, None, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["faults"] == [fault]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="is not an empty folder"):
        doctor_command(Recipe(), tmp_path, None, as_json=False)
