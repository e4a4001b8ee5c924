"""How all figures look, and what they are: matplotlib figures that belong to nobody else.

They are made without pyplot, so drawing one changes no global state, needs no display, and
leaves nothing open. A notebook shows one as the value of a cell; figure.savefig writes it.
"""

from __future__ import annotations

import io
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from minicnn.weights.files import write_whole

# Okabe & Ito's colours and Tol's red, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#CC3311", "#666666"


# Fonts that have letters which matplotlib's own lacks, as Linux, macOS and Windows bring them.
_OTHER_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "PingFang HK",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Nirmala UI",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Unifont",
)


class Picture(Figure):
    """A figure that a notebook can show by itself."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's; a file is written whole or not at all, and class names may have any letters."""
        _show_names_as_they_are(self)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # said in our words
            if not isinstance(fname, (str, os.PathLike)):
                super().savefig(fname, **options)
                return
            path = Path(fname)
            options.setdefault("format", path.suffix[1:] or "png")
            content = io.BytesIO()
            super().savefig(content, **options)
        write_whole(path, content.getvalue())


def cut(name: str, longest: int) -> str:
    """A class name that fits where there is little room."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _show_names_as_they_are(figure: Figure) -> None:
    """A $ begins no formula, except in the numbers of an axis; letters that a font lacks come from another font."""
    missing: set[str] = set()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        content = text.get_text()
        if "$" in content and r"\mathdefault" not in content:
            text.set_parse_math(False)
        if content.isascii():
            continue
        own = text.get_fontfamily()
        fonts = [*own, *(name for name in _installed() if name not in own)]
        lacking = {letter for letter in content if not letter.isspace()}
        for name in fonts:
            lacking = {letter for letter in lacking if ord(letter) not in _letters(name)}
        text.set_fontfamily(fonts)
        missing |= lacking
    if missing:
        _say_missing("".join(sorted(missing)))


@lru_cache  # once for the same letters
def _say_missing(letters: str) -> None:
    warnings.warn(
        f"no font here has {letters}: the figures show boxes instead. Install one that has them, such as "
        "Noto Sans CJK (Debian: fonts-noto-cjk)",
        stacklevel=4,
    )


@lru_cache
def _installed() -> tuple[str, ...]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _OTHER_FONTS if name in known)


@lru_cache
def _letters(family: str) -> frozenset[int]:
    """The characters that the font has."""
    return frozenset(
        FT2Font(font_manager.findfont(font_manager.FontProperties(family=[family]))).get_charmap()
    )


def new_picture(width: float, height: float) -> Picture:
    """An empty figure, sizes in inches, laid out so that nothing overlaps."""
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")
