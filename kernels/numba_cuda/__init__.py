"""The kernels of ../cuda once more, in Numba's CUDA Python: to be read beside them, and run in its simulator."""
