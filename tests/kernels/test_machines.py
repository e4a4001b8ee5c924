"""Other machines, as far as one can be had here: narrower vectors, more threads, a folder that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.errors import ConfigError

ROOT = Path(__file__).parents[2]


def run_sweep(threads: int, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.sweep", str(threads)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_threads(threads: int) -> None:
    assert f"threads {threads}:" in run_sweep(threads, NUMBA_NUM_THREADS="4")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "lanes"), [("avx2", 8), ("sse", 4)])
def test_narrower_vectors(name: str, lanes: int) -> None:
    assert f"lanes {lanes}," in run_sweep(1, MINICNN_SIMD=name)


@pytest.mark.slow
def test_without_a_parallel_pool_kernels_run_on_one_thread() -> None:
    assert "threads 1:" in run_sweep(1, NUMBA_THREADING_LAYER="workqueue")


def test_the_width_follows_the_machine() -> None:
    from minicnn.kernels.cpu.lanes import choose_lanes

    assert choose_lanes(None, "skylake-avx512", "+avx2,+avx512f") == 16
    assert choose_lanes(None, "icelake", "+avx2,-avx512f") == 8
    assert choose_lanes(None, "haswell", "") == 8
    assert choose_lanes(None, "apple-m1", "+neon") == 4
    assert choose_lanes("neon", "skylake-avx512", "+avx512f") == 4
    with pytest.raises(ConfigError, match="MINICNN_SIMD=sve"):
        choose_lanes("sve", "", "")


def test_kernels_are_kept_where_the_user_says(tmp_path: Path) -> None:
    """NUMBA_CACHE_DIR is respected, and nothing is written elsewhere."""
    code = """
import numpy as np
from minicnn.kernels.cpu import elementwise
x = np.array([-1, 2], dtype=np.float32)
elementwise.relu(x, x)
assert x.tolist() == [0, 2]
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path / "home")}
    for expected in (True, False):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("compiling kernels" in done.stderr) is expected, "compiled once, then read from disk"
    assert {path.name.rpartition("-")[0] for path in (tmp_path / "minicnn").iterdir()} >= {"elementwise"}
    assert not (tmp_path / "home").exists()


def test_a_full_disk_of_the_cache_ends_no_training(tmp_path: Path) -> None:
    """The kernels are compiled and used all the same, and it is said once."""
    code = """
import errno
import numpy as np
from numba.core.caching import IndexDataCacheFile
from minicnn.kernels.cpu import elementwise

def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

IndexDataCacheFile.save = full
x = np.array([-1, 2], dtype=np.float32)
elementwise.relu(x, x)
elementwise.relu(np.ones(2), np.ones(2))
assert x.tolist() == [0, 2]
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"{tmp_path / 'minicnn'} cannot be written (No space left on device)") == 1


def test_more_threads_than_there_are_is_refused() -> None:
    import minicnn

    with pytest.raises(ConfigError, match="threads can be used, got 1000"):
        minicnn.set_num_threads(1000)
