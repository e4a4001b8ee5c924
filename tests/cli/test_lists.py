"""`minicnn models` and `minicnn data list`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minicnn.models import ARCHITECTURES
from tests.cli.said import Said, assert_one_line


class TestLists:
    def test_models(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn("models")
        assert said.status == 0
        rows = {line.split()[0]: line.split() for line in said.out.splitlines()}
        assert list(rows) == ["model", *ARCHITECTURES]
        assert rows["lenet5"][1:4] == ["1x28x28", "61,706", "416,520"]
        assert rows["convnet3"][1:3] == ["3x32x32", "620,362"]
        assert rows["resnet50"][1:4] == ["3x224x224", "25,557,032", "4,089,184,256"]

    def test_one_model_and_its_picture(self, minicnn: Callable[..., Said], tmp_path: Path) -> None:
        said = minicnn("models", "lenet5", "--draw", "lenet.png")
        assert said.status == 0
        assert "61,706 parameters" in said.out
        assert (tmp_path / "lenet.png").stat().st_size > 1000
        assert_one_line(minicnn("models", "lenet6"), "did you mean 'lenet5'?")

    def test_data_sets_say_where_they_are(self, minicnn: Callable[..., Said]) -> None:
        said = minicnn("data", "list")
        assert said.status == 0
        for part in (
            "fashion-mnist-mini\n",
            "5,000 training and 1,000 test images",
            "fashion_mnist_mini.npz",
            "mnist\n",
        ):
            assert part in said.out
