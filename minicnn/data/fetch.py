"""Downloads: the only place of minicnn that uses the network, and only when it is asked to.

A file is written beside its place as .<name>.part, checked (MD5 of the decompressed bytes), and renamed. What was
interrupted goes on where it stopped; what turns out wrong is removed and the next mirror is tried.
MINICNN_OFFLINE=1 forbids it all.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn.data import locate
from minicnn.data.cifar import file_md5
from minicnn.data.idx import open_maybe_gzip
from minicnn.data.sources import SOURCES, IdxFile, Source
from minicnn.errors import ConfigError, DataError, nearest

OFFLINE = os.environ.get("MINICNN_OFFLINE", "") not in ("", "0")  # read once, at start
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # a mirror
_CHUNK = 1 << 18
_MOST = 1 << 30  # bytes that a file, or what is packed in it, may have


def fetch(name: str, data_dir: str | os.PathLike[str] | None = None, *, quiet: bool = False) -> Path:
    """Download a data set of the catalogue into the user's cache (or data_dir/<name>); returns the folder.

    Files that are there already are checked and kept. Raises DataError when it is offline, when no mirror gives
    the published file, or when the disk is full.
    """
    source = _source(name)
    folder = locate.cache_dir() / name if data_dir is None else Path(data_dir).expanduser() / name
    missing = [file for file in source.files if _is_wrong(folder / f"{file.name}.gz", source, file)]
    if not missing:
        return folder
    if OFFLINE:
        raise DataError(
            f"MINICNN_OFFLINE forbids downloads, and {name} lacks {missing[0].name}.gz in {folder}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error}") from error
    for file in missing:
        _fetch_file(source, file, folder / f"{file.name}.gz", quiet)
    return folder


def import_files(
    name: str, path: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Copy the files of a data set from a folder (searched with all below it) or a file; returns the new folder.

    All are checked before the first is copied. Raises DataError when one is missing or not the published one.
    """
    source = _source(name)
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"there is no file or folder {root}")
    folder = locate.cache_dir() / name if data_dir is None else Path(data_dir).expanduser() / name
    found = [(file, _find_published(root, source, file)) for file in source.files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, origin in found:
            target = folder / (file.name + (".gz" if origin.suffix == ".gz" else ""))
            _copy_file(origin, target)
    except OSError as error:
        raise _disk_error(error, folder, "import again") from error
    return folder


def _copy_file(origin: Path, target: Path) -> None:
    """Under its name only when it is whole; what was written of it is removed when that fails."""
    try:
        with origin.open("rb") as read, _part(target).open("wb") as write:
            while chunk := read.read(_CHUNK):
                write.write(chunk)
        os.replace(_part(target), target)
    except OSError:
        _part(target).unlink(missing_ok=True)
        raise


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DataError(f"unknown data set {name!r}: {nearest(name, SOURCES)}")
    if not SOURCES[name].files:
        raise ConfigError(f"{name} comes with minicnn: there is nothing to fetch")
    return SOURCES[name]


def _find_published(root: Path, source: Source, file: IdxFile) -> Path:
    names = {file.name, f"{file.name}.gz"}
    candidates = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.name in names)
    wrong = ""
    for path in candidates:
        wrong = _is_wrong(path, source, file)
        if not wrong:
            return path
    raise DataError(
        f"{candidates[-1]} is not the published one: {wrong}"
        if candidates
        else f"{root} does not hold {file.name}.gz (or {file.name}), which {source.name} needs"
    )


# ---- one file


def _fetch_file(source: Source, file: IdxFile, target: Path, quiet: bool) -> None:
    problems = []
    for base in (source.url, *source.mirrors):
        url = f"{base}{file.name}.gz"
        for _ in range(ATTEMPTS):
            try:
                _download(url, _part(target), quiet)
            except _Cut as problem:  # what came is kept, and the next attempt goes on from there
                problems.append(f"{url}: {problem}")
                continue
            except OSError as error:
                raise _disk_error(error, target, "fetch again, it goes on where it stopped") from error
            if wrong := _is_wrong(_part(target), source, file):
                _part(target).unlink(missing_ok=True)
                problems.append(f"{url}: {wrong}")
                continue
            os.replace(_part(target), target)
            return
    lines = "\n".join(f"  {problem}" for problem in dict.fromkeys(problems))
    kept = " (what has come is kept)" if _part(target).exists() else ""
    raise DataError(
        f"{file.name}.gz could not be fetched:\n{lines}\n"
        f"Try again later{kept}, or get it elsewhere (SHA-256 {file.sha256}) and run "
        f"`minicnn data import {source.name} FOLDER`"
    )


class _Cut(Exception):
    """The server did not give the whole file."""


def _download(url: str, part: Path, quiet: bool) -> None:
    """Write the file to `part`, from where that ends. Raises _Cut for the network's faults, OSError for the disk's."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after `start`: the part is whole, or of another file
            return
        raise _Cut(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Cut(f"no connection: {getattr(error, 'reason', error)}") from error
    with answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        )
        start = start if goes_on else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        with part.open("ab" if goes_on else "wb") as file:
            done = _copy(answer, file, start, total, quiet, part.name)
    if total is not None and done < total:
        raise _Cut(f"the connection was cut after {done:,} of {total:,} bytes")


def _copy(answer: Any, file: Any, start: int, total: int | None, quiet: bool, name: str) -> int:
    with _bar(start, total, quiet, name) as bar:
        done = start
        while True:
            try:
                chunk = answer.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(f"the connection was cut after {done:,} bytes: {error}") from error
            if not chunk:
                return done
            done += len(chunk)
            if done > _MOST:
                raise _Cut(f"the server sends more than {_MOST:,} bytes")
            file.write(chunk)
            bar.update(len(chunk))


def _bar(start: int, total: int | None, quiet: bool, name: str) -> Any:
    from tqdm import tqdm

    return tqdm(
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        desc=name.removeprefix(".").removesuffix(".part"),
        disable=quiet or not sys.stderr.isatty(),
        leave=False,
    )


def _is_wrong(path: Path, source: Source, file: IdxFile) -> str:
    """Why the file is not the published one; nothing when it is."""
    digest: Callable[[Path], str] = file_md5 if source.format == "cifar" else _content_md5
    try:
        found = digest(path)
    except (OSError, EOFError, zlib.error) as error:
        return f"it cannot be read ({error})"
    return "" if found == file.md5 else f"its MD5 is {found}, expected {file.md5}"


def _content_md5(path: Path) -> str:
    """Of the decompressed bytes, as far as a published file could go."""
    digest, total = hashlib.md5(usedforsecurity=False), 0
    with open_maybe_gzip(path) as file:
        while (chunk := file.read(_CHUNK)) and total <= _MOST:
            digest.update(chunk)
            total += len(chunk)
    return digest.hexdigest()


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _disk_error(error: OSError, target: Path, then: str) -> DataError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(f"the disk is full: {target} could not be written; make room and {then}")
    return DataError(f"{target} cannot be written: {error}")
