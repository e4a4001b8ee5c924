"""The hot loops, per device, and what chooses between them: see choice.py, table.py and cuda_table.py."""

from minicnn.kernels.choice import Choice, choose, explain, using
from minicnn.kernels.emulated import emulated

__all__ = ["Choice", "choose", "emulated", "explain", "using"]
