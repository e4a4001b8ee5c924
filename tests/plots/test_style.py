"""What all figures share: class names as they are, in a font that has them, and files written whole."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from minicnn import plots
from minicnn.plots import style
from tests.plots.test_plots import pixels, texts


@pytest.mark.parametrize("name", ["cost $5 & $a_b$", r"$\bad{", "%s {0} %(x)d", "<b>", "_hidden", "x" * 200])
def test_class_names_are_shown_as_they_are(name: str) -> None:
    """No formula, no format, none left out of a legend; a long one does not push the picture aside."""
    confusion = plots.confusion_matrix(np.array([[3, 1], [0, 4]]), [name, "other"])
    pixels(confusion)
    shown = name if len(name) <= 24 else name[:23] + "…"
    assert shown in texts(confusion)
    formulas = [
        text.get_text() for text in confusion.findobj(Text) if text.get_visible() and text.get_parse_math()
    ]
    assert not any("$" in text for text in formulas)
    line = (np.array([0, 1]), np.array([0, 1]), 0.5)
    curves = plots.class_curves({name: line}, {name: line})
    pixels(curves)
    for axes in curves.axes:
        assert [name[:10] in text.get_text() for text in axes.get_legend().get_texts()] == [True]


def test_letters_that_no_font_has_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_installed", lambda: ())
    style._say_missing.cache_clear()
    figure = plots.confusion_matrix(np.eye(2), ["衣服", "кошка"])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.savefig(io.BytesIO(), format="png")
        figure.savefig(io.BytesIO(), format="png")
    assert [str(warning.message)[:19] for warning in said] == ["no font here has 服衣"]


def test_another_font_that_is_installed_is_taken_for_its_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """STIX stands in for the fonts of other alphabets: it comes with matplotlib and has what DejaVu lacks."""
    only_in_stix = next(
        chr(code)
        for code in sorted(style._letters("STIXGeneral") - style._letters("DejaVu Sans"))
        if code > 0x2000
    )
    monkeypatch.setattr(style, "_installed", lambda: ("STIXGeneral",))
    figure = plots.confusion_matrix(np.eye(2), [only_in_stix, "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: .*a\.png"):
            plots.confusion_matrix(np.eye(2)).savefig(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.png": b"old"}
    plots.confusion_matrix(np.eye(2)).savefig(path, dpi=50)
    assert Image.open(path).format == "PNG"
