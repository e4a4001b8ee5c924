"""Data of one's own, from a path to what training takes: a folder, a CSV table, or an .npz file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from minicnn.data.bad_files import BadFile, check_policy, refuse
from minicnn.data.bundle import DataBundle
from minicnn.data.dataset import ArrayDataset
from minicnn.data.decode import MEMORY_BUDGET, decode_images
from minicnn.data.folder import find_images
from minicnn.data.image_files import ImageFiles
from minicnn.data.images import read_image
from minicnn.data.npz import read_npz
from minicnn.data.preprocess import InputShape, Preprocessing
from minicnn.data.splits import duplicate_groups, held_out_mask
from minicnn.data.stored import Images, StoredImages
from minicnn.data.table import read_table
from minicnn.errors import ConfigError, DataError, LabelError

DEFAULT_SIZE = (None, 64, 64)
_LOOKED_AT = 32  # images, to see whether a folder has colour


def load_own(
    path: str | os.PathLike[str],
    *,
    input_shape: InputShape | None = None,
    preprocessing: Preprocessing | None = None,
    test: float = 0.2,
    seed: int = 0,
    on_bad_file: str = "error",
    cache: bool = True,
) -> DataBundle:
    """A data set from a folder of images, a CSV table of files and labels, or an .npz file.

    input_shape (C, H, W): every image is scaled to it, by default to 64x64; with C = None pictures with colour
    become RGB and others grey. preprocessing: a stored one to use instead.
    test: the share held out for testing where the source has no test part of its own, drawn by `seed`, with
    every class in proportion; copies of one picture stay on one side. Training images that are also
    among the given test or validation images are left out.
    on_bad_file: "error" raises a DataError that lists every file that cannot be used; "skip" leaves them
    out, and `bundle.bad_files` lists them.
    """
    check_policy(on_bad_file)
    if not 0 < test < 1:
        raise ConfigError(f"test is the share of images held out, between 0 and 1, got {test}")
    path = Path(path).expanduser()
    if preprocessing is not None:
        input_shape = (preprocessing.channels, *preprocessing.image_size)
    if path.suffix.lower() == ".npz":
        images, labels, names, parts, notes, bad = _from_npz(path)
        if input_shape is not None:
            images = _sized(images, input_shape, exactly=preprocessing is not None)
        shape = input_shape
    else:
        files = find_images(path) if path.is_dir() else _table(path)
        images, labels, names, parts, notes, bad = _from_files(files, input_shape, on_bad_file, cache)
        shape = None
    return _bundle(path, images, labels, names, parts, notes, bad, preprocessing, shape, test, seed)


Content = tuple[Images, np.ndarray, tuple[str, ...], np.ndarray, list[str], list[BadFile]]


def _table(path: Path) -> ImageFiles:
    if path.suffix.lower() not in (".csv", ".txt"):
        raise DataError(
            f"{path} is no folder: data of your own are a folder of images, a .csv table or an .npz file"
        )
    return read_table(path)


def _from_files(files: ImageFiles, input_shape: InputShape | None, on_bad_file: str, cache: bool) -> Content:
    channels, height, width = input_shape or DEFAULT_SIZE
    if channels is None:
        channels = 3 if has_colour(files.paths) else 1
    decoded, unreadable = decode_images(files.paths, (height, width), channels, cache=cache)
    bad = [*files.bad, *unreadable]
    if on_bad_file == "error":
        refuse(bad, len(files) + len(files.bad))
    images = StoredImages(decoded) if decoded.nbytes > MEMORY_BUDGET else decoded
    if not unreadable:
        return images, files.labels, files.class_names, files.parts, list(files.notes), bad
    wrong = {file.path for file in unreadable}
    good = np.array([path not in wrong for path in files.paths])
    if not good.any():
        refuse(bad, len(files))
    kept = images.subset(good) if isinstance(images, StoredImages) else images[good]
    labels, names, lost = _without_empty(files.labels[good], files.class_names)
    notes = list(files.notes)
    if lost:
        notes.append(f"no image of {', '.join(lost)} can be read: left out of the classes")
    if len(names) < 2:
        raise DataError(
            f"only images of {names[0]!r} can be read in {files.source}: a classifier needs two classes"
        )
    return kept, labels, names, files.parts[good], notes, bad


def _without_empty(
    labels: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Labels renumbered without the classes that have no sample left, the names, and those lost."""
    used, renumbered = np.unique(labels, return_inverse=True)
    lost = [name for number, name in enumerate(names) if number not in used]
    return renumbered.astype(np.int64), tuple(names[number] for number in used), lost


def has_colour(paths: tuple[Path, ...]) -> bool:
    """Whether any of some 32 images, from all over the list, shows colour: more than 16 levels in 1% of its pixels."""
    step = max(1, len(paths) // _LOOKED_AT)
    for path in paths[::step]:
        try:
            pixels = read_image(path, (32, 32), 3).astype(np.int16)
        except DataError:
            continue  # decoding all of them will say so
        if (np.ptp(pixels, axis=0) > 16).mean() > 0.01:
            return True
    return False


def _from_npz(path: Path) -> Content:
    content = read_npz(path)
    images, labels = content.images, content.labels
    parts = np.full(len(labels), "", dtype="U10")
    if content.test_images is not None and content.test_labels is not None:
        if content.test_images.shape[1:] != images.shape[1:]:
            raise DataError(
                f"{path}: training images {images.shape[1:]} and test images {content.test_images.shape[1:]} differ"
            )
        parts = np.array(["train"] * len(labels) + ["test"] * len(content.test_labels), dtype="U10")
        images = np.concatenate([images, content.test_images])
        labels = np.concatenate([labels, content.test_labels])
    names = content.class_names
    if names is None:
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels) or labels.min() < 0:
            raise LabelError(
                f"{path}: labels must be class numbers, 0 and up, (N,); got {labels.dtype} {labels.shape}"
            )
        names = tuple(str(number) for number in range(int(labels.max()) + 1))
    checked = ArrayDataset(images, labels, names)
    return checked.images, checked.labels, names, parts, [], []


def _sized(images: Images, shape: InputShape, exactly: bool) -> Images:
    """Images scaled to (H, W), unless (not exactly) a little padding on all sides makes them fit."""
    if images.shape[2:] == shape[1:]:
        return images
    rows, columns = shape[1] - images.shape[2], shape[2] - images.shape[3]
    if not exactly and rows == columns and rows >= 0 and rows % 2 == 0 and rows <= images.shape[2] // 4:
        return images
    from minicnn.data.transforms.resize import resize

    return resize(np.asarray(images), (shape[1], shape[2]))


def _bundle(
    path: Path,
    images: Images,
    labels: np.ndarray,
    names: tuple[str, ...],
    parts: np.ndarray,
    notes: list[str],
    bad: list[BadFile],
    preprocessing: Preprocessing | None,
    shape: InputShape | None,
    test: float,
    seed: int,
) -> DataBundle:
    groups = duplicate_groups(images)
    masks, part_notes = _parts(parts, labels, groups, test, seed)
    # Without a Preprocessing yet, images pass as they are; its mean and std come from the training part.
    whole = ArrayDataset(images, labels, names, groups=groups)
    train = whole.subset(masks["train"])
    if preprocessing is None:
        preprocessing = Preprocessing.from_training_images(train.images, input_shape=shape)
    made = {part: whole.subset(mask).with_preprocessing(preprocessing) for part, mask in masks.items()}
    return DataBundle(
        name=str(path),
        train=made["train"],
        test=made["test"],
        validation=made.get("validation"),
        class_names=names,
        preprocessing=preprocessing,
        description=f"{len(labels):,} images of {len(names)} classes from {path}",
        licence="yours",
        notes=(*notes, *_about_copies(labels, groups), *part_notes),
        bad_files=tuple(bad),
    )


def _parts(
    parts: np.ndarray, labels: np.ndarray, groups: np.ndarray, test: float, seed: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Masks of train, test and (if given) validation, and what there is to say about them."""
    notes = []
    is_test, is_validation = parts == "test", parts == "validation"
    if not is_test.any():
        rest = np.flatnonzero(~is_validation)
        held_out = held_out_mask(labels[rest], float(test), np.random.default_rng(seed), groups[rest])
        is_test[rest[held_out]] = True
    if not is_test.any():
        raise DataError(
            f"there are too few images to hold out a share of {test} for testing: add some to every class"
        )
    is_train = ~is_test & ~is_validation
    leaked = is_train & np.isin(groups, groups[is_test | is_validation])
    if leaked.any():
        notes.append(
            f"{np.count_nonzero(leaked)} training image(s) are copies of test or validation images: left out of training"
        )
        is_train &= ~leaked
    if not is_train.any():
        raise DataError("no image is left for training: every one is held out, or a copy of one that is")
    masks = {"train": is_train, "test": is_test}
    if is_validation.any():
        masks["validation"] = is_validation
    return masks, notes


def _about_copies(labels: np.ndarray, groups: np.ndarray) -> list[str]:
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    copies = len(groups) - len(first)
    if not copies:
        return []
    disputed = np.count_nonzero(labels != labels[first][members])
    also = f"; {disputed} of them under another class" if disputed else ""
    return [f"{copies} image(s) are copies of others, kept on one side of every split{also}"]
