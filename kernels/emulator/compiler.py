"""From the text of a .cu file to a shared library for the CPU, compiled once per text and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path

from minicnn.errors import MinicnnError

HERE = Path(__file__).parent
HEADERS = ("fibers.h", "cuda_cpu.h")
_KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(")
# No contraction of a * b + c: results do not depend on what the CPU offers. Inline variables stay the
# library's own: as "unique" symbols, all loaded kernels would share one set of fibers.
_FLAGS = (
    "-O1",
    "-std=c++17",
    "-fPIC",
    "-shared",
    "-w",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
)
_WANTED = (
    "-fno-gnu-unique",
    "-ftrivial-auto-var-init=pattern",  # local variables start as -1.7e38: reading one unset shows
)


class EmulatorError(MinicnnError, RuntimeError):
    """A kernel does not compile, was launched wrongly, or did what a GPU must not do."""


def kernel_names(code: str) -> list[str]:
    """The kernels that a .cu text defines."""
    return _KERNEL.findall(code)


def compile_library(code: str, options: Sequence[str] = (), sanitize: bool = False) -> Path:
    """The shared library of this text: found in the cache, or compiled now (1 to 3 seconds).

    options are NVRTC's that mean something here: -D... and -U.... sanitize adds AddressSanitizer.
    Raises EmulatorError with the compiler's words when the text does not compile.
    """
    exports = "\n".join(f"MINICNN_EXPORT({name})" for name in kernel_names(code))
    text = f'#include "cuda_cpu.h"\n#line 1 "kernel.cu"\n{code}\n{exports}\n'
    compiler, version = _compiler()
    flags = [*_FLAGS, *_accepted(compiler), *(flag for flag in options if flag[:2] in ("-D", "-U"))]
    if sanitize:
        flags += ["-fsanitize=address", "-g"]
    headers = [(HERE / name).read_text(encoding="utf-8") for name in HEADERS]
    key = "\0".join([text, *headers, version, *flags])
    folder = cache_folder()
    library = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    # Compiled aside and put in place whole: another process may be looking for the same file.
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        out = Path(aside) / "kernel.so"
        command = [compiler, "-x", "c++", f"-I{HERE}", *flags, "-", "-o", str(out)]
        done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=300)
        if done.returncode:
            raise EmulatorError(f"the kernels do not compile for the emulator:\n{done.stderr.strip()}")
        os.replace(out, library)
    return library


def cache_folder() -> Path:
    """Where compiled kernels are kept: beside the CPU's."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(chosen) / "minicnn" if chosen else user_cache_path("minicnn") / "kernels"
    return root / "emulator"


def sanitizer_library() -> str:
    """The library to name in LD_PRELOAD for a process that loads kernels compiled with sanitize=True."""
    compiler, _ = _compiler()
    done = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True)
    path = done.stdout.strip()
    if not os.path.isabs(path):
        raise EmulatorError(
            "this compiler brings no AddressSanitizer (libasan.so): install libasan, or use g++"
        )
    return path


@lru_cache
def _compiler() -> tuple[str, str]:
    """(path, version) of the C++ compiler: $CXX, or the first found."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++")):
        if path := shutil.which(name):
            done = subprocess.run([path, "--version"], capture_output=True, text=True)
            return path, done.stdout.partition("\n")[0]
    raise EmulatorError(
        "running CUDA kernels without a GPU needs a C++ compiler, and none was found: "
        "install one (sudo apt-get install g++), or name it in the environment variable CXX"
    )


@lru_cache
def _accepted(compiler: str) -> tuple[str, ...]:
    """Those of the wanted flags that this compiler knows; older ones lack some."""

    def knows(flag: str) -> bool:
        command = [compiler, "-Werror", flag, "-x", "c++", "-fsyntax-only", "-"]
        return subprocess.run(command, input="", text=True, capture_output=True).returncode == 0

    return tuple(flag for flag in _WANTED if knows(flag))
