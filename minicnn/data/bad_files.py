"""Files that cannot be used: what is wrong with each, and whether that ends the work."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minicnn.errors import ConfigError, DataError, nearest

POLICIES = ("error", "skip")
_SHOWN = 20  # in an error's text; the report lists all


class BadFile(NamedTuple):
    """A file that was left out, and why."""

    path: Path
    reason: str


def check_policy(on_bad_file: str) -> None:
    """Raises ConfigError unless the policy is "error" or "skip"."""
    if on_bad_file not in POLICIES:
        raise ConfigError(f"unknown on_bad_file {on_bad_file!r}: {nearest(str(on_bad_file), POLICIES)}")


def refuse(bad: Sequence[BadFile], total: int) -> None:
    """Raises DataError that lists the bad files, when there are any."""
    if not bad:
        return
    lines = [f"  {reason_with_path(file)}" for file in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"  and {len(bad) - _SHOWN} more")
    raise DataError(
        "\n".join(
            [
                f"{len(bad)} of {total} files cannot be used:",
                *lines,
                "mend or remove them, or train without them: --on-bad-file skip "
                '(from Python: on_bad_file="skip")',
            ]
        )
    )


def reason_with_path(file: BadFile) -> str:
    """The reason, which usually names the file already."""
    return file.reason if str(file.path) in file.reason else f"{file.path}: {file.reason}"


def to_csv(bad: Sequence[BadFile]) -> str:
    """The report: one line a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "reason"])
    writer.writerows((str(file.path), file.reason) for file in bad)
    return text.getvalue()
