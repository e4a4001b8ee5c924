"""Folders of images: which files there are, and what class each belongs to. Nothing is decoded here.

    photos/cat/1.jpg  photos/cat/2.jpg  photos/dog/1.png          a folder a class
    photos/train/cat/1.jpg ...  photos/test/cat/9.jpg ...         with parts of its own
    photos/labels.csv:  file,label                                a table of files and labels,
                        1.jpg,cat                                 with a third column `split` if wanted

Below a class, folders may be nested. Links are followed, each folder once, so that a loop ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from minicnn.data.bad_files import BadFile
from minicnn.data.image_files import PARTS, ImageFiles, image_files
from minicnn.data.table import read_table
from minicnn.errors import DataError

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ]
)
TABLE = "labels.csv"
_NAMES_SHOWN = 5


def find_images(folder: str | os.PathLike[str]) -> ImageFiles:
    """The images of a folder and their classes, in the order of their names.

    Raises DataError when the folder is missing or holds no images in class folders.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    if (root / TABLE).is_file():
        return read_table(root / TABLE)
    walk = _Walk()
    parts = _parts(root, walk)
    walk.pass_over([root, *(folder for _, parent in parts for folder in (parent, *walk.folders(parent)))])
    found: list[tuple[str, str, Path]] = []  # part, class, file
    empty: list[str] = []
    for part, parent in parts:
        for class_folder in walk.folders(parent):
            files = list(walk.images(class_folder))
            found += [(part, class_folder.name, file) for file in files]
            if not files:
                empty.append(str(class_folder.relative_to(root)))
    if not found:
        raise DataError(_nothing_in(root, walk))
    return image_files(root, found, _notes(empty, walk), walk.bad)


def _parts(root: Path, walk: _Walk) -> list[tuple[str, Path]]:
    """(part, folder of class folders): train/ and test/ where the folder has them, else the folder itself."""
    named = [
        (PARTS[folder.name.lower()], folder) for folder in walk.folders(root) if folder.name.lower() in PARTS
    ]
    if any(part == "train" for part, _ in named):
        return named
    return [("", root)]


class _Walk:
    """Goes through folders once each, and remembers what it could not read or did not take for an image."""

    def __init__(self) -> None:
        self.bad: list[BadFile] = []
        self.others: list[Path] = []
        self._seen: set[tuple[int, int]] = set()

    def entries(self, folder: Path) -> list[Path]:
        try:
            return sorted(path for path in folder.iterdir() if not _is_hidden(path.name))
        except OSError as error:
            self.bad.append(BadFile(folder, f"the folder {folder} cannot be read: {error.strerror or error}"))
            return []

    def folders(self, folder: Path) -> list[Path]:
        return [path for path in self.entries(folder) if _is_folder(path)]

    def pass_over(self, folders: list[Path]) -> None:
        """Folders that are classes of their own, or hold them: a link to one from within a class leads round."""
        self._seen.update(filter(None, map(_identity, folders)))

    def images(self, folder: Path) -> Iterator[Path]:
        """All image files below the folder, each folder once."""
        for path in self.entries(folder):
            if _is_folder(path):
                identity = _identity(path)
                if identity is not None and identity not in self._seen:
                    self._seen.add(identity)
                    yield from self.images(path)
            elif path.suffix.lower() in SUFFIXES:
                yield path
            else:
                self.others.append(path)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, whatever links lead there."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to itself
        return False


def _is_hidden(name: str) -> bool:
    """.DS_Store, .git, __MACOSX, Thumbs.db: left by programs, meant by nobody."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _notes(empty: list[str], walk: _Walk) -> list[str]:
    notes = []
    if empty:
        notes.append(f"no image in {_some(empty)}: left out of the classes")
    if walk.others:
        notes.append(f"{len(walk.others)} file(s) are no images: {_some([p.name for p in walk.others])}")
    return notes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _nothing_in(root: Path, walk: _Walk) -> str:
    loose = [path for path in walk.entries(root) if path.suffix.lower() in SUFFIXES]
    if loose:
        return (
            f"{root} holds {len(loose)} image(s), but no class folders: put the images of every class into a "
            f"folder of its own, such as {root / 'cat' / loose[0].name}, or name their classes in {root / TABLE} "
            "(columns file,label)"
        )
    unreadable = f"; {walk.bad[0].reason}" if walk.bad else ""
    return (
        f"{root} holds no images: expected a folder a class, such as {root / 'cat' / '1.jpg'}, "
        f"with {', '.join(sorted(SUFFIXES))} files{unreadable}"
    )
