"""State dicts to write and read: seeded, small, with every element type and shape that files hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
SUFFIXES = (".safetensors", ".npz", ".pth")


def small_state() -> dict[str, np.ndarray]:
    """A convolution, a batch norm with its counter, and a head."""
    rng = np.random.default_rng(7)
    return {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "bn.weight": rng.standard_normal(4).astype(np.float32),
        "bn.running_var": rng.random(4).astype(np.float32),
        "bn.num_batches_tracked": np.array(1234567890123),
        "fc.weight": rng.standard_normal((5, 4)),
        "fc.bias": rng.standard_normal(5).astype(np.float16),
    }


def odd_state() -> dict[str, np.ndarray]:
    """What every format must carry: truth values, small integers, no elements, no dimensions, odd sizes."""
    return {
        "mask": np.array([True, False, True]),
        "bytes": np.arange(7, dtype=np.uint8).reshape(7, 1),
        "signed": np.array([-128, 127], np.int8),
        "short": np.array([-32768, 32767], np.int16),
        "int": np.array([-(2**31), 2**31 - 1], np.int32),
        "long": np.array([-(2**63), 2**63 - 1]),
        "half": np.array([65504, -6e-8], np.float16),
        "special": np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45], np.float32),
        "empty": np.zeros((2, 0, 3), np.float32),
        "scalar": np.array(np.pi),
        "a name with spaces/and a slash Ü": np.ones((1, 1, 1, 1, 2), np.float64),
    }


def assert_same(arrays: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """The same names, dtypes, shapes and bits; arrays of one's own, writable and C-contiguous."""
    assert sorted(arrays) == sorted(expected)
    for name, array in arrays.items():
        assert array.dtype == expected[name].dtype, name
        assert array.dtype.isnative
        assert array.shape == expected[name].shape, name
        assert array.tobytes() == expected[name].tobytes(), name
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.flags.aligned


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Damaged in one of the ways that disks, networks and editors have."""
    damaged = bytearray(content)
    kind = rng.integers(6)
    if kind <= 2:  # one bit, or a few
        for _ in range(1 if kind else rng.integers(2, 9)):
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    elif kind == 3:  # cut short
        del damaged[rng.integers(len(damaged)) :]
    elif kind == 4:  # a piece overwritten
        start = rng.integers(len(damaged))
        piece = rng.bytes(min(int(rng.integers(1, 33)), len(damaged) - start))
        damaged[start : start + len(piece)] = piece
    else:  # a piece lost, or put twice
        start, length = rng.integers(len(damaged)), rng.integers(1, 65)
        damaged[start:start] = damaged[start : start + length] if rng.integers(2) else b""
        if len(damaged) == len(content):
            del damaged[start : start + length]
    return bytes(damaged)
