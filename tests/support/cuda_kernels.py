"""A pytest plugin: every test computes NumPy arrays by the CUDA kernels.

    python -m pytest -p tests.support.cuda_kernels tests/layers/test_contracts.py

By the emulator, or by a GPU where MINICNN_CUDA_TESTS=gpu is set.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels.cuda.runner import on_gpu


@pytest.fixture(autouse=True)
def cuda_kernels() -> Iterator[None]:
    with on_gpu():
        yield
