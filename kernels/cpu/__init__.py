"""Numba kernels for the CPU, made of one idea: the register tile (see simd.py and docs/cpu-engine.md)."""
