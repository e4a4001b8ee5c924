"""Images and labels, from a file to the batches that a network trains on.

The way of a picture: `load` finds a data set in the catalogue, `ArrayDataset` holds its raw images and
labels, `Preprocessing` makes raw images into network input, `Loader` hands out shuffled batches.
"""

from minicnn.data.catalog import DataBundle, DataSetInfo, available, describe, load
from minicnn.data.dataset import ArrayDataset
from minicnn.data.idx import read_idx
from minicnn.data.images import read_image
from minicnn.data.loader import Dataset, Loader
from minicnn.data.preprocess import Preprocessing

__all__ = [
    "ArrayDataset",
    "DataBundle",
    "DataSetInfo",
    "Dataset",
    "Loader",
    "Preprocessing",
    "available",
    "describe",
    "load",
    "read_idx",
    "read_image",
]
