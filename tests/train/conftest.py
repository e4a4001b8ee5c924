"""A small data set under the name of the embedded one, and a run that was trained on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.training import trained_run, use_blank_figures, use_small_data


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the embedded data set in its place: 200 training and 40 test images."""
    use_small_data(monkeypatch, train=200, test=40)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with nothing on them: drawing takes longer than training here."""
    use_blank_figures(monkeypatch)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to read only."""
    return trained_run(tmp_path_factory)


@pytest.fixture
def own_run(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to damage."""
    return Path(shutil.copytree(trained, tmp_path / "own-run"))
