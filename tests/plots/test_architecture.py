"""Networks drawn: a box for every step, and what cannot be drawn is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.patches import Rectangle

from minicnn import plots
from minicnn.errors import ConfigError
from minicnn.models.measure import weightless
from minicnn.models.outline import outline
from minicnn.plots.architecture import draw_network


def test_a_row_for_every_network_and_a_box_for_every_step() -> None:
    networks = {name: outline(weightless(name), (3, 32, 32)) for name in ("resnet20", "plain20")}
    figure = plots.architectures(networks, "two of a kind")
    assert len(figure.axes) == 2
    for axes, (name, steps) in zip(figure.axes, networks.items()):
        assert axes.get_title(loc="left") == name
        boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert len(boxes) == len(steps)
        shown = [text.get_text() for text in axes.texts]
        assert {str(step.output_shape[0]) for step in steps} <= set(shown)
        assert {f"×{step.times}" for step in steps if step.times > 1} <= set(shown)
        heights = [box.get_height() for box in boxes]
        assert heights[0] > heights[-1], "feature maps shrink"


def test_nothing_to_draw_is_refused() -> None:
    for nothing in ({}, {"empty": []}):
        with pytest.raises(ConfigError, match="at least one network"):
            plots.architectures(nothing)


def test_a_picture_is_written(tmp_path: Path) -> None:
    draw_network("lenet5", tmp_path / "lenet.png")
    assert (tmp_path / "lenet.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_no_picture_and_a_missing_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"writes \.png, \.svg or \.pdf, got '.*net\.txt'"):
        draw_network("lenet5", tmp_path / "net.txt")
    with pytest.raises(
        ConfigError, match="--draw needs the name of a network: minicnn models resnet18 --draw"
    ):
        draw_network(None, tmp_path / "net.png")
    assert not list(tmp_path.iterdir())
