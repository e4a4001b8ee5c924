"""minicnn weights show FILE."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minicnn import cli
from tests.weights.samples import FIXTURES


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["minicnn", "weights", "show", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_it_lists_names_shapes_and_types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, FIXTURES / "small-legacy.pth") == 0
    assert capsys.readouterr().out.splitlines() == [
        "name                    shape    dtype",
        "conv.weight             4x3x3x3  float32",
        "bn.weight               4        float32",
        "bn.running_var          4        float32",
        "bn.num_batches_tracked  -        int64",
        "fc.weight               5x4      float64",
        "fc.bias                 5        float16",
        "",
        "PyTorch (before 1.6): 6 arrays, 142 numbers, 642 bytes",
    ]


def test_a_damaged_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "w.pth").write_bytes(b"hello")
    assert run(monkeypatch, tmp_path / "w.pth") == 1
    assert capsys.readouterr().err.startswith("error: ")
