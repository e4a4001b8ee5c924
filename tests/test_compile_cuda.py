"""scripts/compile_cuda.py without a compiler: what it would compile, and what it makes of a report."""

from __future__ import annotations

import ctypes.util
import importlib.util
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels.cuda.sources import files
from minicnn.kernels.cuda_calls import implicit_conv2d
from scripts import compile_cuda

REPORT = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'good' for 'sm_90'
ptxas info    : Function properties for good
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 1 barriers, 128 bytes smem
ptxas info    : Compiling entry function 'bad' for 'sm_90'
ptxas info    : Function properties for bad
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
"""
TASK = compile_cuda.Task("nvrtc", "sums.cu", ("-DREAL=float",), ("90",))


def test_spilled_registers_are_found() -> None:
    count, wrong = compile_cuda.read_report(TASK, REPORT)
    assert count == 2
    assert wrong == ["bad spills registers: 4 bytes out, 12 bytes in (nvrtc, sums.cu -DREAL=float, sm_90)"]


@pytest.mark.parametrize(
    ("report", "wrong"),
    [
        ("nothing of the kind", "no kernel was found in it"),
        (REPORT, "bad spills"),
        (RuntimeError("line 3"), "line 3"),
    ],
)
def test_what_is_wrong_is_reported(report: Any, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_nvrtc(task: Any) -> str:
        if isinstance(report, Exception):
            raise report
        return report

    monkeypatch.setattr(compile_cuda, "by_nvrtc", by_nvrtc)
    (line,) = compile_cuda.run(TASK).wrong
    assert wrong in line


def test_every_file_is_compiled_for_every_architecture() -> None:
    tasks = list(compile_cuda.tasks(nvcc=True))
    assert len(set(tasks)) == len(tasks), "each once"
    for file in files():
        done = {task.architectures for task in tasks if task.file == file and task.compiler == "nvrtc"}
        assert done == {("75",), ("80",), ("90",)}
    assert {task.file for task in tasks if task.compiler == "nvcc"} == {
        "conv_implicit_gemm.cu",
        "ladder/matmul.cu",
        "linear.cu",
    }


@given(rows=st.integers(1, 4096), cols=st.integers(1, 10**6), tf32=st.booleans(), double=st.booleans())
def test_every_tile_that_is_launched_is_compiled(rows: int, cols: int, tf32: bool, double: bool) -> None:
    tile = implicit_conv2d.tile_for(rows, cols, tf32 and not double, double)
    numbers = compile_cuda.DOUBLE if double else compile_cuda.FLOAT
    assert (*numbers, *tile.options) in list(compile_cuda.variants(implicit_conv2d.FILE))


def test_a_missing_compiler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    compile_cuda.find_nvrtc.cache_clear()
    with pytest.raises(SystemExit, match="NVRTC, the compiler of CUDA kernels, was not found: pip install"):
        compile_cuda.main()
