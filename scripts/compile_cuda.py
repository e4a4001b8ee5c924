"""Compile every CUDA kernel for sm_75, sm_80 and sm_90, without a GPU: python -m scripts.compile_cuda

By NVRTC, the compiler that CuPy uses (package nvidia-cuda-nvrtc, or a CUDA installation), in every variant
that the launching code asks for. Its assembler reports registers, and no kernel may spill any to memory.
Where nvcc is found too, whose assembler may be of another version, it compiles the tiles of the matrix
products once more, which use the most registers. A missing NVRTC is an error, not a reason to skip.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from minicnn.kernels.cuda.sources import files, read_source
from minicnn.kernels.cuda_calls import implicit_conv2d, products

ARCHITECTURES = ("75", "80", "90")
FLOAT, DOUBLE, WIDE = ("-DREAL=float",), ("-DREAL=double",), ("-DREAL=float", "-DINDEX=long long")
# The files that are compiled for several tiles: those of float32, and which of them float64 takes too.
TILES = {
    implicit_conv2d.FILE: [
        getattr(implicit_conv2d, name).options for name in ("FLAT", "MIDDLE", "LARGE", "TF32", "TF32_LARGE")
    ],
    products.FILE: [implicit_conv2d.MIDDLE.options, implicit_conv2d.TF32.options],
}
FLOAT64_TILES = [implicit_conv2d.FLAT.options, implicit_conv2d.MIDDLE.options]


class Task(NamedTuple):
    """One compilation: by NVRTC for one architecture, or by nvcc for all."""

    compiler: str
    file: str
    options: tuple[str, ...]
    architectures: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.file} {' '.join(self.options)}, {', '.join(f'sm_{each}' for each in self.architectures)}"
        )


class Report(NamedTuple):
    """What came of it."""

    kernels: int
    wrong: list[str]
    seconds: float  # of a CPU


def variants(file: str) -> Iterator[tuple[str, ...]]:
    """The options that the launching code compiles this file with."""
    if file.startswith("ladder/"):  # tried out on float32 arrays that fit
        yield FLOAT
        return
    for numbers in (FLOAT, DOUBLE, WIDE):
        for tile in TILES.get(file, [()]):
            if numbers != DOUBLE or not tile or tile in FLOAT64_TILES:
                yield (*numbers, *tile)


def tasks(nvcc: bool) -> Iterator[Task]:
    """All compilations, the longest first, so that no worker is left with one of them at the end."""
    by_tiles = sorted(files(), key=lambda file: "gemm_tile.cuh" not in _text(file))
    for file in by_tiles:
        for options in variants(file):
            # TF32 came with sm_80: on an older GPU the launching code raises.
            architectures = ARCHITECTURES[1:] if "-DTF32" in options else ARCHITECTURES
            # Arrays of 2^30 elements and more are rare: that their kernels compile without spills is enough.
            if nvcc and "gemm_tile.cuh" in _text(file) and options[:2] != WIDE:
                yield Task("nvcc", file, options, architectures)
            for architecture in architectures:
                yield Task("nvrtc", file, options, (architecture,))


def _text(file: str) -> str:
    """The file without its headers."""
    from minicnn.kernels.cuda import sources

    return (sources.HERE / file).read_text(encoding="utf-8")


def read_report(task: Task, text: str) -> tuple[int, list[str]]:
    """(how many kernels the assembler speaks of, those of them that spill registers)."""
    reports = re.findall(
        r"Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads",
        text,
        re.DOTALL,
    )
    return len(reports), [
        f"{kernel} spills registers: {stores} bytes out, {loads} bytes in "
        f"({task.compiler}, {task.file} {' '.join(task.options)}, {architecture})"
        for kernel, architecture, stores, loads in reports
        if int(stores) or int(loads)
    ]


def run(task: Task) -> Report:
    """Compile: what a worker does."""
    start = _cpu_seconds()
    try:
        count, wrong = read_report(task, by_nvrtc(task) if task.compiler == "nvrtc" else by_nvcc(task))
        if not count:
            wrong = [f"{task.compiler}'s report on {task} could not be read: no kernel was found in it"]
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        count, wrong = 0, [str(error)]
    return Report(count, wrong, _cpu_seconds() - start)


def _cpu_seconds() -> float:
    """Of this process and of those it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# ---- NVRTC


@lru_cache
def find_nvrtc() -> ctypes.CDLL:
    """The library: of the Python package, or of the system. Exits with advice where there is none."""
    names = []
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        names += sorted(map(str, Path(folder).rglob("libnvrtc.so.*")))
        names += sorted(map(str, Path(folder).rglob("nvrtc64_*.dll")))
    names = [name for name in names if ".alt." not in name] + [ctypes.util.find_library("nvrtc") or ""]
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    sys.exit(
        "NVRTC, the compiler of CUDA kernels, was not found: pip install nvidia-cuda-nvrtc, "
        "or run make cuda-check, which does so"
    )


def by_nvrtc(task: Task) -> str:
    """The compiler's report; RuntimeError with its words if there is no machine code."""
    nvrtc = find_nvrtc()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    source = read_source(task.file).encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, task.file.encode(), 0, None, None)
    flags = [f"-arch=sm_{task.architectures[0]}", "-std=c++17", "--ptxas-options=-v", *task.options]
    given = (ctypes.c_char_p * len(flags))(*[flag.encode() for flag in flags])
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), given)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    nvrtc.nvrtcGetProgramLog(program, log)
    size.value = 0
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode()
    if failed or not size.value:
        raise RuntimeError(f"NVRTC, {task.file} with {' '.join(flags)}:\n{text.strip()}")
    return text


# ---- nvcc


def by_nvcc(task: Task) -> str:
    """The compiler's report; RuntimeError with its words if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.cu"
        source.write_text(read_source(task.file), encoding="utf-8")
        targets = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in task.architectures]
        command = ["nvcc", "-std=c++17", "-Xptxas=-v", "-fatbin", *targets, *task.options, str(source)]
        done = subprocess.run([*command, "-o", f"{folder}/out"], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr.strip()}")
    return done.stderr


def main() -> None:
    nvrtc, nvcc = find_nvrtc(), shutil.which("nvcc")
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    print(f"NVRTC {major.value}.{minor.value}, nvcc: {nvcc or 'not found, NVRTC alone looks at registers'}")
    wrong: list[str] = []
    kernels: Counter[str] = Counter()
    compilations: Counter[str] = Counter()
    cpu: Counter[str] = Counter()
    start = time.perf_counter()
    # Processes: NVRTC compiles one program at a time in each. Spawned, since fork and threads do not mix.
    workers = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
    with workers as pool:
        todo = list(tasks(nvcc is not None))
        for task, report in zip(todo, pool.map(run, todo)):
            kernels[task.compiler] += report.kernels
            compilations[task.file] += 1
            cpu[task.file] += report.seconds  # type: ignore[assignment]  # a Counter adds any numbers
            wrong += report.wrong
    for file, count in compilations.items():
        print(f"{file:<24} {count:>2} compilations, {cpu[file]:5.1f} s of CPU time")
    for each in wrong:
        print(f"error: {each}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print("every kernel compiles for " + ", ".join(f"sm_{each}" for each in ARCHITECTURES), end="; ")
    print(", ".join(f"{count} assembled by {name}" for name, count in kernels.items()), end=", none spills ")
    print(f"registers; {time.perf_counter() - start:.0f} s, {sum(cpu.values()):.0f} s of CPU time")


if __name__ == "__main__":
    main()
