"""The checker's figures. matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.gradcheck.report import ArrayResult, Curve, Report
    from minicnn.gradcheck.sweep import Sweep

# Okabe and Ito's palette: told apart with every kind of colour vision, and in grey by the line styles.
COLORS = {"forward": "#E69F00", "central": "#0072B2", "complex": "#009E73", "richardson": "#D55E00"}
STYLES = {"forward": ":", "central": "-", "complex": "-.", "richardson": "--"}
TINY = 1e-17  # where an error of exactly 0 is drawn


def report_figure(report: Report) -> Figure:
    """Left: error against step, with the bound. Right: the error of the worst array by index."""
    figure = _figure(11.0, 4.2, f"{report.name}: {report.verdict}")
    left, right = figure.subplots(1, 2)
    if report.curve is not None:
        _draw_curve(left, report.curve())
    else:
        left.set_title("nothing could be compared")
        left.axis("off")
    mapped = [array for array in report.arrays if array.numeric is not None and array.analytic is not None]
    if mapped:
        worst = max(mapped, key=lambda array: array.worst.ratio if array.worst else 0.0)
        _draw_map(figure, right, worst)
    else:
        _draw_ratios(right, report.arrays)
    return figure


def sweep_figure(sweep: Sweep) -> Figure:
    """One panel per precision, one curve per rule."""
    dtypes = list(dict.fromkeys(dtype for _, dtype in sweep.errors))
    figure = _figure(5.5 * len(dtypes), 4.2)
    panels = figure.subplots(1, len(dtypes), sharey=True, squeeze=False)[0]
    for panel, dtype in zip(panels, dtypes):
        for (method, which), errors in sweep.errors.items():
            if which == dtype:
                drawn = np.maximum(errors, TINY)
                panel.loglog(sweep.steps, drawn, STYLES[method], color=COLORS[method], lw=2, label=method)
        eps = np.finfo(dtype).eps
        panel.axhline(eps, color="0.6", lw=1)
        panel.annotate(
            "machine epsilon", (sweep.steps[0], eps), color="0.4", ha="right", va="top", fontsize=8
        )
        panel.set(title=dtype, xlabel="step h")
        panel.set_ylim(TINY / 2, 1e3)
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("relative error of the slope")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels))
    return figure


def _figure(width: float, height: float, title: str = "") -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title if len(title) < 90 else title[:87] + "...", fontsize=11)
    return figure


def _draw_curve(panel: Any, curve: Curve) -> None:
    for name, errors in (("central", curve.central), ("richardson", curve.richardson)):
        panel.loglog(
            curve.steps, np.maximum(errors, TINY), STYLES[name], color=COLORS[name], lw=2, label=name
        )
    panel.axhline(max(curve.bound, TINY), color="black", lw=1, ls="-")
    panel.annotate("bound", (curve.steps[0], max(curve.bound, TINY)), va="bottom", ha="right", fontsize=9)
    panel.set(title=f"error against step ({curve.label})", xlabel="step h", ylabel="|difference − analytic|")
    panel.grid(alpha=0.25)
    panel.legend(frameon=False)


def _draw_map(figure: Figure, panel: Any, array: ArrayResult) -> None:
    """|analytic − numeric| by index, higher axes laid out as tiles."""
    assert array.analytic is not None
    assert array.numeric is not None
    error = np.abs(array.analytic - array.numeric)
    image = panel.imshow(_tiles(error), cmap="magma", interpolation="nearest", aspect="auto")
    figure.colorbar(image, ax=panel, label="|analytic − numeric|")
    panel.set_title(f"error of {array.name} by index, {'x'.join(map(str, array.shape))}")
    if error.ndim == 4:  # the ticks of a picture made of tiles would count the gaps
        panel.set(
            xticks=[], yticks=[], xlabel="axis 1: a tile for each", ylabel="axis 0: a row of tiles for each"
        )


def _tiles(error: np.ndarray) -> np.ndarray:
    """An array as one picture: (N, C, H, W) becomes N rows and C columns of H x W tiles with gaps."""
    if error.ndim < 2:
        return error.reshape(1, -1)
    if error.ndim == 2:
        return error
    tiles = error.reshape(-1, *error.shape[-3:]) if error.ndim > 3 else error[None]
    padded = np.pad(tiles, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, height, width = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]


def _draw_ratios(panel: Any, arrays: list[ArrayResult]) -> None:
    """How much of its bound each array uses: all is well to the left of 1."""
    known = [array for array in arrays if array.worst is not None]
    ratios = [max(array.worst.ratio, 1e-6) if array.worst else 1e-6 for array in known]
    colors = [{"PASS": "#009E73", "FAIL": "#D55E00"}.get(str(array.verdict), "#E69F00") for array in known]
    panel.barh([array.name for array in known], ratios, color=colors, left=1e-7, height=0.5)
    panel.axvline(1.0, color="black", lw=1)
    panel.set(xscale="log", xlabel="difference / bound", title="how much of the bound is used")
    panel.set_ylim(len(known) - 0.5, -0.5)
