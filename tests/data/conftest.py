"""IDX files written by hand, from the format's description."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicnn.data import locate
from minicnn.data.sources import SOURCES, Source

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def _idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + dims + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session")
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    return _idx_bytes


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data set: every place that is searched lies under an empty folder."""
    monkeypatch.setattr(locate, "DATA_DIR", None)
    monkeypatch.setattr(locate, "SYSTEM_DIR", tmp_path / "system")
    monkeypatch.setattr(locate, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write_source(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Writes a small data set under a catalogue name into a folder, and makes it the published one."""

    def write(name: str, folder: Path, seed: int = 0, compress: bool = True) -> Source:
        rng = np.random.default_rng(seed)
        labels = np.arange(40, dtype=np.uint8) % 10
        folder.mkdir(parents=True, exist_ok=True)
        arrays = [rng.integers(0, 256, (40, 28, 28), dtype=np.uint8), labels] * 2
        arrays[3] = (labels + seed).astype(np.uint8) % 10
        files = []
        for file, array in zip(SOURCES[name].files, arrays):
            content = _idx_bytes(array)
            path = folder / (file.name + ".gz" * compress)
            path.write_bytes(gzip.compress(content) if compress else content)
            files.append(replace(file, md5=hashlib.md5(content).hexdigest()))
        source = replace(SOURCES[name], files=tuple(files))
        monkeypatch.setitem(SOURCES, name, source)
        return source

    return write
