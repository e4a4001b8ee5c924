"""Ways from one value to another."""

from __future__ import annotations

import math


def half_cosine(start: float, end: float, share: float) -> float:
    """From start (share 0) to end (share 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def straight_line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
