"""The text of the .cu files, and what their kernels take."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent
_INCLUDE = re.compile(r'^#include "(?P<name>[\w.]+)"$', re.MULTILINE)
_KERNEL = re.compile(
    r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s*)?(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)'
)
_MACRO = re.compile(r"^#define (?P<name>\w+_PARAMETERS)[ \\]*\n(?P<text>(?:.*\\\n)*.*)$", re.MULTILINE)


def files() -> list[str]:
    """Every .cu file, those of the ladder as ladder/..., in alphabetical order."""
    return sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*.cu"))


@lru_cache
def read_source(file: str) -> str:
    """A .cu file with its headers pasted in: one text, whole, that any compiler's cache can go by."""
    pasted: set[str] = set()

    def paste(path: Path) -> str:
        def header(match: re.Match[str]) -> str:
            name = match["name"]
            if name in pasted:
                return ""
            pasted.add(name)
            there = path.parent / name
            return paste(there if there.exists() else HERE / name)

        text = path.read_text(encoding="utf-8").replace("#pragma once\n", "\n")
        return _INCLUDE.sub(header, text)

    return paste(HERE / file)


@lru_cache
def parameters(file: str) -> dict[str, tuple[str, ...]]:
    """Kernel name -> the types of its parameters: "REAL", "int", "INDEX", "const REAL*" ..."""
    code = read_source(file)
    for macro in _MACRO.finditer(code):
        code = code.replace(f"{macro['name']})", f"{macro['text'].replace(chr(92), ' ')})")
    return {
        kernel["name"]: tuple(_type_of(each) for each in kernel["parameters"].split(","))
        for kernel in _KERNEL.finditer(code)
    }


def _type_of(parameter: str) -> str:
    """ "const REAL* __restrict__ x" -> "const REAL*"."""
    words = parameter.replace("__restrict__", " ").split()
    return " ".join(words[:-1])
