"""What a command says, and how errors look."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    status: int
    out: str
    err: str


def assert_one_line(said: Said, *parts: str) -> None:
    """An error: status 1, nothing on stdout, one line on stderr without a traceback."""
    assert said.status == 1
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("error: ")
    for part in parts:
        assert part in said.err
