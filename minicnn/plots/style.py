"""How all figures look, and what they are: matplotlib figures that belong to nobody else.

They are made without pyplot, so drawing one changes no global state, needs no display, and
leaves nothing open. A notebook shows one as the value of a cell; figure.savefig writes it.
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure

# Okabe & Ito's colours and Tol's red, told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#CC3311", "#666666"


class Picture(Figure):
    """A figure that a notebook can show by itself."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def new_picture(width: float, height: float) -> Picture:
    """An empty figure, sizes in inches, laid out so that nothing overlaps."""
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")
