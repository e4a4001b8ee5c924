"""Architectures: each a short file that reads like the paper's table."""

from minicnn.models.catalog import ARCHITECTURES, Architecture, architecture, build
from minicnn.models.convnet3 import convnet3
from minicnn.models.lenet import lenet5

__all__ = ["ARCHITECTURES", "Architecture", "architecture", "build", "convnet3", "lenet5"]
