"""The hot loops, per device, and what chooses between them: see choice.py and table.py."""

from minicnn.kernels.choice import Choice, choose, explain, using

__all__ = ["Choice", "choose", "explain", "using"]
