"""Thousands of damaged files: each is refused with WeightsError, or gives what was written. Never another error,
a hang, or memory without end.

Foreign files without a checksum (safetensors of other programs, PyTorch's legacy format) cannot show damage to
the numbers themselves, or to a letter of a name: those must give arrays as if the damage had been written.
"""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minicnn import weights
from minicnn.errors import WeightsError
from minicnn.weights.state_files import read_open
from tests.weights.samples import FIXTURES, SUFFIXES, mutated, odd_state, small_state

OWN = [f"own{suffix}" for suffix in SUFFIXES]
WITH_CRC = ["small-zip.pth", "windows-zip.pth", "checkpoint.pth", "numpy.npz", "compressed.npz"]
WITHOUT = ["small-legacy.pth", "odd-legacy.pth", "windows-legacy.pth", "library.safetensors"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    for name in OWN:
        weights.write(small_state(), folder / name)
    np.savez(folder / "numpy.npz", **odd_state())
    np.savez_compressed(folder / "compressed.npz", **odd_state())
    save_file(small_state(), folder / "library.safetensors")
    paths = [*folder.iterdir(), *FIXTURES.iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def read(content: bytes) -> dict[str, np.ndarray]:
    return read_open(io.BytesIO(content), len(content)).arrays


@contextmanager
def little_memory_and_time(seconds: float) -> Iterator[None]:
    """However large the sizes that a damaged file claims."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes"
    assert time.monotonic() - start < seconds


def damage(content: bytes, count: int, seed: int) -> Iterator[tuple[bytes, dict[str, np.ndarray] | None]]:
    """(the damaged file, its arrays or None where it was refused)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        damaged = mutated(content, rng)
        if damaged == content:
            continue
        try:
            yield damaged, read(damaged)
        except WeightsError:
            yield damaged, None


def bits(arrays: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def check_own(content: bytes, count: int, seed: int) -> None:
    for _, arrays in damage(content, count, seed):
        assert arrays is None, "not one bit of what minicnn wrote can change unnoticed"


def check_with_crc(content: bytes, count: int, seed: int) -> None:
    whole = bits(read(content))
    for _, arrays in damage(content, count, seed):
        assert arrays is None or bits(arrays) == whole, "what is told twice, or summed, is not lost unnoticed"


def check_without(content: bytes, count: int, seed: int) -> None:
    whole = read(content)
    for damaged, arrays in damage(content, count, seed):
        if arrays is not None:
            assert len(arrays) <= len(whole)
            assert sum(array.nbytes for array in arrays.values()) <= 2 * len(damaged), "bfloat16 doubles"


KINDS = [(name, check_own) for name in OWN]
KINDS += [(name, check_with_crc) for name in WITH_CRC]
KINDS += [(name, check_without) for name in WITHOUT]
every_kind = pytest.mark.parametrize(("name", "check"), KINDS, ids=[name for name, _ in KINDS])


@every_kind
def test_some_damage(files: dict[str, bytes], name: str, check) -> None:
    with little_memory_and_time(60):
        check(files[name], 100, seed=1)


@pytest.mark.slow
@every_kind
def test_much_damage(files: dict[str, bytes], name: str, check) -> None:
    with little_memory_and_time(120):
        check(files[name], 1000, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_every_single_bit_of_a_file_of_ours(tmp_path: Path, name: str) -> None:
    state = {"fc.weight": np.ones((2, 2), np.float32), "fc.bias": np.zeros(2, np.float32)}
    weights.write(state, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for position in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(WeightsError):
            read(bytes(damaged))


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_every_length_is_too_short(files: dict[str, bytes], name: str) -> None:
    content = files[name]
    for length in {*range(0, len(content), 23), len(content) - 1}:
        with pytest.raises(WeightsError):
            read(content[:length])


@pytest.mark.parametrize("name", ["library.safetensors", "small-legacy.pth"])
def test_damage_to_the_numbers_alone_keeps_names_and_shapes(files: dict[str, bytes], name: str) -> None:
    content = bytearray(files[name])
    content[-3] ^= 0x10
    arrays, whole = read(bytes(content)), small_state()
    assert {n: (a.shape, a.dtype) for n, a in arrays.items()} == {
        n: (a.shape, a.dtype) for n, a in whole.items()
    }
    assert sum(arrays[n].tobytes() != whole[n].tobytes() for n in whole) == 1
