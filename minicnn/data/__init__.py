"""Images and labels, from a file to the batches that a network trains on.

The way of a picture: `load` finds a data set in the catalogue or at a path, `ArrayDataset` holds its raw images and
labels, a transform changes them a little differently every time, `Preprocessing` makes raw images into network
input, `Loader` hands out shuffled batches.
"""

from minicnn.data import transforms
from minicnn.data.bad_files import BadFile
from minicnn.data.bundle import DataBundle
from minicnn.data.catalog import DataSetInfo, available, describe, load
from minicnn.data.dataset import ArrayDataset
from minicnn.data.idx import read_idx
from minicnn.data.images import read_image
from minicnn.data.loader import Dataset, Loader
from minicnn.data.own import load_own
from minicnn.data.preprocess import InputShape, Preprocessing
from minicnn.data.report import DataReport, report
from minicnn.data.samplers import (
    BalancedBatchSampler,
    OverSampler,
    UnderSampler,
    WeightedRandomSampler,
    class_weights,
)

__all__ = [
    "ArrayDataset",
    "BadFile",
    "BalancedBatchSampler",
    "DataBundle",
    "DataReport",
    "DataSetInfo",
    "Dataset",
    "InputShape",
    "Loader",
    "OverSampler",
    "Preprocessing",
    "UnderSampler",
    "WeightedRandomSampler",
    "available",
    "class_weights",
    "describe",
    "load",
    "load_own",
    "read_idx",
    "read_image",
    "report",
    "transforms",
]
