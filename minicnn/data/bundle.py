"""A data set ready for training."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.data.bad_files import BadFile
from minicnn.data.dataset import ArrayDataset
from minicnn.data.preprocess import Preprocessing


@dataclass(frozen=True, eq=False)
class DataBundle:
    """The parts of a data set, and how their images are prepared.

    Batches of `train` and `test` are float32 (N, C, H, W), normalised with the mean and standard deviation
    of the training images; `train.images` are the raw uint8 ones. `validation` is None where the source has
    no such part: hold one out by `train.split(...)`.
    notes: what a reader of the data should know, in sentences. bad_files: those that were left out.
    """

    name: str
    train: ArrayDataset
    test: ArrayDataset
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    description: str
    licence: str
    validation: ArrayDataset | None = None
    notes: tuple[str, ...] = ()
    bad_files: tuple[BadFile, ...] = ()
