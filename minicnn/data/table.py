"""A CSV table of image files and their labels.

file,label                    also: filename, path, image; class, category
photos/1.jpg,cat              files are looked for from the table's own folder
photos/2.jpg,dog,test         a third column `split` puts a file into train, validation or test
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from minicnn.data.bad_files import BadFile
from minicnn.data.image_files import PARTS, ImageFiles, image_files
from minicnn.errors import DataError

_FILE = ("file", "filename", "file_name", "path", "filepath", "image", "image_path")
_LABEL = ("label", "class", "category", "class_name", "target")
_SPLIT = ("split", "part", "subset")


def read_table(path: str | os.PathLike[str]) -> ImageFiles:
    """The files that a CSV table names, with their classes.

    Files that do not exist are among the `bad` ones. Raises DataError when the table cannot be read, lacks the
    two columns, has rows without a label, or names a file twice with different labels.
    """
    path = Path(path).expanduser()
    rows = _rows(path)
    if not rows:
        raise DataError(f"the table {path} is empty: expected the columns file,label")
    columns = _columns(path, rows[0])
    found: dict[Path, tuple[str, str]] = {}
    bad: list[BadFile] = []
    repeated = 0
    for number, row in enumerate(rows[1:], start=2):
        cells = {name: row[index].strip() if index < len(row) else "" for name, index in columns.items()}
        if not any(cell.strip() for cell in row):
            continue
        if not cells["file"] or not cells["label"]:
            raise DataError(f"line {number} of {path} lacks its file or its label: {','.join(row)!r:.100}")
        if "\0" in cells["file"]:
            raise DataError(
                f"line {number} of {path} names a file with a zero byte in it: {cells['file']!r:.100}"
            )
        part = _part(path, number, cells.get("split", ""))
        file = path.parent / cells["file"]
        if file in found:
            if found[file] != (part, cells["label"]):
                raise DataError(
                    f"line {number} of {path} says {cells['label']!r} of {cells['file']}, an earlier one "
                    f"{found[file][1]!r}: a file has one label"
                )
            repeated += 1
            continue
        found[file] = (part, cells["label"])
        if not os.path.isfile(file):
            bad.append(BadFile(file, f"image file {file} does not exist (line {number} of {path.name})"))
    missing = {file.path for file in bad}
    there = [(part, label, file) for file, (part, label) in found.items() if file not in missing]
    if not there:
        raise DataError(
            f"none of the {len(found)} files in {path} exists; the first is {next(iter(found), '-')}"
        )
    notes = [f"{repeated} line(s) of {path.name} name a file again"] if repeated else []
    return image_files(path, there, notes, bad)


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
        return list(csv.reader(text.splitlines(), strict=True))
    except FileNotFoundError as error:
        raise DataError(f"the table {path} does not exist") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the table {path} is not UTF-8 text ({error}): save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"the table {path} cannot be read: {error}") from error


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Which column is the file, the label and (if there is one) the split."""
    names = [cell.strip().lower() for cell in header]
    columns = {}
    for meaning, known in (("file", _FILE), ("label", _LABEL), ("split", _SPLIT)):
        index = next((names.index(name) for name in known if name in names), None)
        if index is not None:
            columns[meaning] = index
    if "file" not in columns or "label" not in columns:
        raise DataError(
            f"the first line of {path} is {','.join(header)!r:.100}: expected the names of the columns, file,label"
        )
    return columns


def _part(path: Path, number: int, split: str) -> str:
    if split and split.lower() not in PARTS:
        raise DataError(
            f"line {number} of {path} has the split {split!r}: expected train, validation or test, or nothing"
        )
    return PARTS[split.lower()] if split else ""
