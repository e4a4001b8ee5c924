"""Figures of training: sweeps, depth, timings, the network's input, runs side by side."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from minicnn import plots
from minicnn.errors import DataError, ShapeError
from minicnn.plots import Picture
from minicnn.train import LearningRates


def drawn(picture: Picture) -> np.ndarray:
    """Its pixels, in grey: something must be on them."""
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=60)
    pixels = np.asarray(Image.open(buffer).convert("L"))
    assert np.ptp(pixels) > 100
    return pixels


@pytest.mark.parametrize("diverged", [None, 0.5])
def test_lr_sweep_marks_the_suggestion(diverged: float | None) -> None:
    picture = plots.lr_sweep(
        LearningRates([1e-3, 1e-2, 1e-1], [2.0, 0.5, 9.0], [2.0, 1.2, 3.0], 1e-3, diverged)
    )
    (axes,) = picture.axes
    assert axes.get_xscale() == "log"
    labels = axes.get_legend_handles_labels()[1]
    assert "suggestion 0.001" in labels
    assert ("left at 0.5" in labels) == (diverged is not None)
    assert axes.get_ylim()[0] < 0.5
    drawn(picture)


def test_by_depth_leaves_out_what_has_no_logarithm() -> None:
    picture = plots.by_depth(["a", "b"], [1.0, 0.0], [1e-3, float("nan")], [float("nan"), 1e-3])
    assert np.isnan(picture.axes[0].lines[0].get_ydata()[1])
    drawn(picture)


def test_layer_timings_has_the_first_layer_at_the_top() -> None:
    picture = plots.layer_timings(["conv1", "fc"], [1.0, 2.0], [2.0, 1.0])
    low, high = picture.axes[0].get_ylim()
    assert low > high
    drawn(picture)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_network_input_of_any_channels(channels: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, channels, 6, 6)).astype(np.float32)
    drawn(plots.network_input(x, np.array([0, 1, 1]), ["cat", "dog"]))


def test_network_input_refuses_what_is_no_batch() -> None:
    with pytest.raises(ShapeError, match=r"a batch is x \(N, C, H, W\)"):
        plots.network_input(np.zeros((6, 6)), np.zeros(6))


def test_a_compared_curve_that_another_covers_is_wider() -> None:
    def columns(last: float) -> dict[str, list[float]]:
        falling = [1.0, last]
        return {
            "epoch": [1, 2],
            **dict.fromkeys(("train_loss", "validation_loss", "validation_accuracy"), falling),
        }

    picture = plots.compared_curves({"a": columns(0.5), "same": columns(0.5), "other": columns(0.4)})
    widths = [line.get_linewidth() for line in picture.axes[0].get_lines()]
    assert widths[0] > widths[1] == widths[2]


def test_compared_curves_have_a_line_a_run_in_each_panel() -> None:
    columns = {name: [1.0, 2.0] for name in ("epoch", "train_loss", "validation_loss", "validation_accuracy")}
    picture = plots.compared_curves({f"run {i}": columns for i in range(10)})
    assert [len(axes.lines) for axes in picture.axes] == [10, 10, 10]
    assert picture.axes[0].lines[9].get_linestyle() == "--"
    drawn(picture)
    with pytest.raises(DataError, match="no run to compare"):
        plots.compared_curves({})


def test_sweep_results_puts_rates_on_a_log_scale() -> None:
    settings = [{"lr": 1e-3, "optimizer": "adam"}, {"lr": 4e-3, "optimizer": "sgd"}]
    picture = plots.sweep_results(settings, [0.8, float("nan")], [0.0, 0.0])
    assert [axes.get_xscale() for axes in picture.axes] == ["log", "linear"]
    drawn(picture)
