"""State dicts in files: safetensors, NumPy's .npz, and PyTorch's .pth, read without running code."""

from minicnn.weights.state_files import StateFile, load, read, read_state_file, save, write

__all__ = ["StateFile", "load", "read", "read_state_file", "save", "write"]
