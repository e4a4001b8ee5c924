"""How kernels are compiled: one decorator, its flags, and the folder that keeps the machine code.

    @helper
    def relu_part(x, y, part, parts): ...     # the work, called by kernels only

    @kernel
    def relu(x, y):                           # what Python calls
        fork(relu_part, (x, y))

Compiled code is kept on disk, since compiling all of LeNet-5 takes seconds. The folder's name
holds a hash of the kernel's own module, of the kernel modules it imports, of the vector width, of
whether there are threads, and of Numba's version: Numba itself does not notice when a function
that a kernel calls has changed, and would go on using the old machine code.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba import _dynfunc
from numba.core import config, event
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from platformdirs import user_cache_path

HERE = Path(__file__).parent

# Sums may be reordered and a*b + c fused, which is what lets LLVM vectorise. "nnan" and "ninf" are
# not among the flags: with them a NaN could vanish in a max(), and training that has diverged go unnoticed.
FLAGS = {"reassoc", "contract", "nsz", "arcp"}


def kernel(function: Callable) -> Any:
    """Compile for the CPU: no GIL, no bounds checks (callers check shapes), kept on disk."""
    with _cache_folder(function.__module__) as writable:
        dispatcher = numba.njit(
            cache=writable, fastmath=FLAGS, boundscheck=False, nogil=True, error_model="numpy"
        )(function)
    if writable:
        _compile_on_a_full_disk_too(dispatcher)
    return dispatcher


def helper(function: Callable) -> Any:
    """Compile a function that only kernels call: it becomes part of them and has no entry on disk."""
    dispatcher = numba.njit(
        fastmath=FLAGS,
        boundscheck=False,
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,  # Python never calls it
        no_cfunc_wrapper=True,
    )(function)
    compile_fully = dispatcher.compile

    def compile_without_optimizing(signature: Any) -> Any:
        with _unoptimized():
            return compile_fully(signature)

    dispatcher.compile = compile_without_optimizing
    return dispatcher


@contextmanager
def _unoptimized() -> Iterator[None]:
    """Leave out LLVM's optimisation and machine code, which are the greater part of compiling.

    A helper's code is copied into each kernel that calls it, and optimised there; Numba would do so
    in the helper too, for nothing. This reaches into Numba: where it has changed, all is done twice.
    """
    skipped = {
        (JITCodeLibrary, "_optimize_functions"): lambda library, module: None,
        (JITCodeLibrary, "_optimize_final_module"): lambda library: None,
        (JITCodeLibrary, "_finalize_final_module"): lambda library: setattr(library, "_finalized", True),
        (CPUContext, "get_executable"): _no_executable,
    }
    before = {(kind, name): getattr(kind, name, None) for kind, name in skipped}
    if None in before.values():
        yield
        return
    with global_compiler_lock:
        for (kind, name), instead in skipped.items():
            setattr(kind, name, instead)
        try:
            yield
        finally:
            for (kind, name), method in before.items():
                setattr(kind, name, method)


def _no_executable(context: Any, library: Any, fndesc: Any, env: Any) -> Any:
    """A function object without code, where Numba would keep what Python can call."""
    library.finalize()
    name = fndesc.qualname.rpartition(".")[2]
    return _dynfunc.make_function(fndesc.lookup_module(), name, "", 0, env, (library,))


@contextmanager
def _cache_folder(module: str) -> Iterator[bool]:
    """Make Numba use our folder inside the context; yields whether it can be written.

    Numba reads config.CACHE_DIR when a function is decorated, so that functions of the user's own
    are not touched. A NUMBA_CACHE_DIR of the user's is respected: our folder then lies in there.
    """
    before = config.CACHE_DIR
    folder = cache_root() / source_hash(module.rpartition(".")[2])
    config.CACHE_DIR = str(folder)
    try:
        yield _is_writable(folder)
    finally:
        config.CACHE_DIR = before


@lru_cache
def cache_root() -> Path:
    """Where compiled kernels are kept: a folder of the user's cache, or in NUMBA_CACHE_DIR if that is set."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) / "minicnn" if chosen else user_cache_path("minicnn") / "kernels"


@lru_cache
def source_hash(module: str) -> str:
    """16 hex digits that change with anything that a kernel's machine code depends on."""
    from minicnn.kernels.cpu.lanes import LANES
    from minicnn.kernels.cpu.threads import WHY_SERIAL

    machine = f"{numba.__version__} {sys.version_info[:2]} {LANES} {'serial' if WHY_SERIAL else 'parallel'}"
    digest = hashlib.sha256(machine.encode())
    for name in sorted(_imported(module, set())):
        digest.update((HERE / f"{name}.py").read_bytes())
    return f"{module}-{digest.hexdigest()[:16]}"


def _imported(module: str, seen: set[str]) -> set[str]:
    """The module and all modules of this folder that it imports, directly or not."""
    if module not in seen:
        seen.add(module)
        text = (HERE / f"{module}.py").read_text(encoding="utf-8")
        for name in re.findall(r"^from minicnn\.kernels\.cpu\.(\w+) import", text, flags=re.MULTILINE):
            _imported(name, seen)
    return seen


@lru_cache
def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError:
        print(f"minicnn: {folder} cannot be written: kernels are compiled anew each time", file=sys.stderr)
        return False
    return True


def _compile_on_a_full_disk_too(dispatcher: Any) -> None:
    """The kernel is compiled before it is saved: where saving fails, it is compiled anew in the next process.

    Numba would raise, and a full disk of the cache would end a training that needs nothing from it.
    """
    cache = getattr(dispatcher, "_cache", None)
    save = getattr(cache, "save_overload", None)
    if cache is None or save is None:  # another Numba
        return

    def save_or_say(signature: Any, compiled: Any) -> None:
        try:
            save(signature, compiled)
        except OSError as error:
            _say_unsaved(error.strerror or str(error))

    cache.save_overload = save_or_say


@lru_cache  # so that it is said once, not for every kernel
def _say_unsaved(reason: str) -> None:
    print(
        f"minicnn: {cache_root()} cannot be written ({reason}): kernels are compiled anew each time",
        file=sys.stderr,
    )


class _Announcer(event.Listener):
    """Says once per process that kernels are being compiled: the first time takes seconds."""

    said = False

    def on_start(self, event: Any) -> None:
        dispatcher = event.data["dispatcher"]
        if not self.said and dispatcher.py_func.__module__.startswith("minicnn.kernels.cpu."):
            type(self).said = True
            from minicnn.kernels.cpu.lanes import LANES

            print(
                f"minicnn: compiling kernels for this machine ({LANES} floats a vector); "
                "this happens once, later runs start at once",
                file=sys.stderr,
                flush=True,
            )

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcer())
