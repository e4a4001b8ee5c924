"""Compile every CUDA kernel for sm_75, sm_80 and sm_90, without a GPU: python -m scripts.compile_cuda

By NVRTC, the compiler that CuPy uses (package nvidia-cuda-nvrtc, or a CUDA installation), in every
variant that the launching code asks for. Where nvcc is found too, its assembler reports registers, and
no kernel may spill any to memory. A missing NVRTC is an error, not a reason to skip.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minicnn.kernels.cuda.sources import files, read_source
from minicnn.kernels.cuda_calls import implicit_conv2d

ARCHITECTURES = ("75", "80", "90")
NUMBERS = (("-DREAL=float",), ("-DREAL=double",), ("-DREAL=float", "-DINDEX=long long"))
TILES = [getattr(implicit_conv2d, name).options for name in ("FLAT", "MIDDLE", "LARGE", "TF32", "TF32_LARGE")]


def variants(file: str) -> Iterator[tuple[str, ...]]:
    """The options that the launching code compiles this file with."""
    for numbers in NUMBERS:
        for tile in TILES if file == implicit_conv2d.FILE else [()]:
            double = "-DREAL=double" in numbers
            if not (double and ("-DTF32" in tile or tile == implicit_conv2d.LARGE.options)):
                yield (*numbers, *tile)


# ---- NVRTC


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


def compile_by_nvrtc(nvrtc: ctypes.CDLL, file: str, options: tuple[str, ...], architecture: str) -> int:
    """The size of the machine code; RuntimeError with the compiler's words if there is none."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), read_source(file).encode(), file.encode(), 0, None, None)
    flags = [f"-arch=sm_{architecture}", "-std=c++17", *options]
    given = (ctypes.c_char_p * len(flags))(*[flag.encode() for flag in flags])
    failed = nvrtc.nvrtcCompileProgram(program, len(flags), given)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    if failed or not size.value:
        raise RuntimeError(f"{file} with {' '.join(flags)}:\n{log.value.decode().strip()}")
    return size.value


# ---- nvcc


def spills(nvcc: str, file: str, options: tuple[str, ...]) -> tuple[int, list[str]]:
    """(how many kernels were assembled over all architectures, those that spill registers)."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.cu"
        source.write_text(read_source(file), encoding="utf-8")
        targets = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in ARCHITECTURES]
        command = [nvcc, "-std=c++17", "-Xptxas=-v", "-fatbin", *targets, *options, str(source)]
        done = subprocess.run([*command, "-o", f"{folder}/out"], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr.strip()}")
    reports = re.findall(
        r"Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads",
        done.stderr,
        re.DOTALL,
    )
    return len(reports), [
        f"{kernel} ({file} {' '.join(options)}, {architecture}): {stores} bytes out, {loads} bytes in"
        for kernel, architecture, stores, loads in reports
        if int(stores) or int(loads)
    ]


def main() -> None:
    nvrtc, nvcc = find_nvrtc(), shutil.which("nvcc")
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    print(
        f"NVRTC {major.value}.{minor.value}, nvcc: {nvcc or 'not found, register spills are not looked at'}"
    )
    wrong: list[str] = []
    kernels = 0
    start = time.perf_counter()

    def check(file: str, options: tuple[str, ...]) -> tuple[int, list[str]]:
        """(kernels assembled by nvcc, what is wrong) for one variant of one file."""
        try:
            for architecture in ARCHITECTURES:
                compile_by_nvrtc(nvrtc, file, options, architecture)
            # Kernels for arrays of 2^30 elements and more are rare: that they compile is enough.
            looked_at = nvcc if "-DINDEX=long long" not in options else None
            count, bad = spills(looked_at, file, options) if looked_at else (0, [])
            return count, [f"registers are spilled: {each}" for each in bad]
        except RuntimeError as error:
            return 0, [str(error)]

    # The compilers run outside of Python's lock: as many at a time as there are CPUs.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = {file: [pool.submit(check, file, each) for each in variants(file)] for file in files()}
        for file, results in tasks.items():
            done = [result.result() for result in results]
            kernels += sum(count for count, _ in done)
            wrong += [each for _, bad in done for each in bad]
            print(f"{file:<24} {len(done):>2} variants, at {time.perf_counter() - start:5.1f} s", flush=True)
    if nvcc and not kernels:
        wrong.append("nvcc's report could not be read: no kernel was found in it")
    for each in wrong:
        print(f"error: {each}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    print("every kernel compiles for " + ", ".join(f"sm_{each}" for each in ARCHITECTURES), end="")
    print(f"; {kernels} assembled, none spills registers" if nvcc else "")


if __name__ == "__main__":
    main()
