"""State dicts in files."""

from minicnn.weights.safetensors_file import load, read, save

__all__ = ["load", "read", "save"]
