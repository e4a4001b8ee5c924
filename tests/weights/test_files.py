"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from minicnn.weights.files import write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"the old content"], ids=["new file", "old file"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    before: bytes | None,
    error: BaseException,
) -> None:
    path = tmp_path / "a.bin"
    if before is not None:
        path.write_bytes(before)

    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        write_whole(path, b"the new content")
    if before is None:
        assert names(tmp_path) == []
    else:
        assert names(tmp_path) == ["a.bin"]
        assert path.read_bytes() == before


def test_a_reader_never_meets_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the rename the old content is what the name stands for."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    seen = []
    replace = os.replace

    def look_and_replace(source: Path, target: Path) -> None:
        seen.append((path.read_bytes(), Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look_and_replace)
    write_whole(path, b"new")
    assert seen == [(b"old", b"new")]
    assert path.read_bytes() == b"new"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot write a.bin: there is no folder .*nowhere"):
        write_whole(tmp_path / "nowhere" / "a.bin", b"")
