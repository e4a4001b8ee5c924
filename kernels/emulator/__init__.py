"""Runs the CUDA kernels where there is no GPU: a C++ compiler and one CPU thread do it, slowly and strictly."""

from minicnn.kernels.emulator.module import EmulatedModule, EmulatorError

__all__ = ["EmulatedModule", "EmulatorError"]
