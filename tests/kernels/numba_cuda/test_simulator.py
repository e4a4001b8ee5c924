"""The Numba CUDA kernels agree with the definition, in Numba's simulator: it is switched on before Numba is imported."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.training import ROOT


def run(code: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_kernel_agrees_in_the_simulator() -> None:
    done = run(["-m", "tests.kernels.numba_cuda.checks"])
    assert done.returncode == 0, done.stdout + done.stderr
    agreeing = [line.removesuffix(": agrees") for line in done.stdout.splitlines()]
    assert agreeing == ["im2col and col2im", "conv2d", "matmul", "pooling", "softmax and relu"]


def test_a_missing_barrier_would_be_seen() -> None:
    """What the test above rests on: the tiles' first barrier taken away, the product is wrong."""
    code = (
        "import inspect, numpy as np\n"
        "from minicnn.kernels.numba_cuda import matmul\n"
        "from tests.kernels.numba_cuda import checks\n"
        "text = open(matmul.__file__).read()\n"
        "assert text.count('cuda.syncthreads()') == 2\n"
        "exec(compile(text.replace('cuda.syncthreads()', 'pass'), 'matmul', 'exec'), vars(matmul))\n"
        "checks.check_matmul()\n"
    )
    done = run(["-c", code])
    assert done.returncode != 0
    assert "AssertionError" in done.stderr
