"""One process at a time in a run folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minicnn.errors import RunError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold folder/.lock. The system lets go of it when the process ends, however it ends.

    Raises RunError when another process holds it, or when it cannot be made.
    """
    path = folder / ".lock"
    try:
        file = path.open("a+")
    except OSError as error:
        raise RunError(f"cannot write in {folder}: {error.strerror or error}") from error
    with file:
        try:
            _take(file)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"{folder} is in use by {holder}: wait until it is done, or stop it first"
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()}")
        file.flush()
        yield  # closing the file lets go of the lock; the file stays, so that two can never hold two files


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _take(file: IO[str]) -> None:
        file.seek(1 << 20)  # far behind the text, which others may then read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
