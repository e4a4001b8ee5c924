"""Make the embedded data set: 5,000 + 1,000 images of Fashion-MNIST, as many of every class.

    apt-get install dataset-fashion-mnist
    python scripts/make_fashion_mnist_mini.py

They are the first 500 images of every class of the full training set and the first 100 of the full test set,
in the published order: a choice that leaves nothing to choose. The same zlib writes the same bytes every time.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

from minicnn import data

PER_CLASS = {"train": 500, "test": 100}
OUTPUT = Path(__file__).parents[1] / "minicnn" / "data" / "fashion_mnist_mini.npz"


def first_of_each_class(labels: np.ndarray, per_class: int) -> np.ndarray:
    """The sorted row numbers of the first per_class samples of every class."""
    rows = [np.flatnonzero(labels == label)[:per_class] for label in range(10)]
    return np.sort(np.concatenate(rows))


def make_arrays(data_dir: Path | None) -> dict[str, np.ndarray]:
    full = data.load("fashion-mnist", data_dir)
    arrays = {}
    for part, dataset in (("train", full.train), ("test", full.test)):
        rows = first_of_each_class(dataset.labels, PER_CLASS[part])
        arrays[f"{part}_images"] = dataset.images[rows, 0]
        arrays[f"{part}_labels"] = dataset.labels[rows].astype(np.uint8)
    return arrays


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As numpy.savez_compressed, but without the time of day and with the best compression."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # the same on Windows
            info.external_attr = 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, content.getvalue(), compresslevel=9)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="the folder that holds the four IDX files")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    write_npz(options.output, make_arrays(options.data_dir))
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
