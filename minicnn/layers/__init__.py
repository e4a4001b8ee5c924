"""The functional pairs as objects that own parameters and remember what backward needs."""

from minicnn.layers.activation import ELU, GELU, Identity, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from minicnn.layers.base import Buffer, Layer, Parameter
from minicnn.layers.checkpoint import Checkpoint
from minicnn.layers.containers import Concat, Residual, Sequential
from minicnn.layers.conv import Conv2d
from minicnn.layers.dense import DenseConcat
from minicnn.layers.dropout import Dropout
from minicnn.layers.inference import inference
from minicnn.layers.linear import Flatten, Linear
from minicnn.layers.norm import BatchNorm2d, LocalResponseNorm
from minicnn.layers.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Buffer",
    "Checkpoint",
    "Concat",
    "Conv2d",
    "DenseConcat",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "inference",
]
