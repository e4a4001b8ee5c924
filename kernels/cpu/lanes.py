"""How many floats a vector register of this machine holds: the width of every tile.

AVX-512 has 16, AVX2 8, SSE and NEON 4. The environment variable MINICNN_SIMD (avx512, avx2,
sse, neon; read once, at the first use of a kernel) forces a width, to test the narrower ones
on a machine that has the widest.
"""

from __future__ import annotations

import os

from numba.core.registry import cpu_target

from minicnn.errors import ConfigError

WIDTHS = {"avx512": 16, "avx2": 8, "sse": 4, "neon": 4}


def choose_lanes(forced: str | None, cpu_name: str, features: str) -> int:
    """The width for a machine, given the name and the features of the CPU that Numba compiles for."""
    if forced:
        if forced not in WIDTHS:
            raise ConfigError(f"MINICNN_SIMD={forced}: expected one of {', '.join(WIDTHS)}")
        return WIDTHS[forced]
    enabled = set(features.split(","))
    if "+avx512f" in enabled:
        return 16
    # With NUMBA_CPU_NAME set, Numba lists no features: these names imply AVX2.
    return 8 if "+avx2" in enabled or cpu_name in ("haswell", "broadwell", "znver2", "znver3") else 4


_, _CPU_NAME, _FEATURES = cpu_target.target_context.codegen().magic_tuple()
LANES = choose_lanes(os.environ.get("MINICNN_SIMD"), _CPU_NAME, _FEATURES)
