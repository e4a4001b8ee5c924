"""The rungs of the ladder: what launches each version, what it reads per multiply-add, and what that costs.

    python -m minicnn.kernels.cuda.ladder.steps      # a table: modelled time, and measured where there is a GPU

The model (a roofline with three roofs) takes the largest of

    flops / peak,   bytes from global memory / its bandwidth,   bytes from shared memory / its bandwidth

as the time. It ignores caches, latency and instructions, so it is an upper bound of what a version can
reach; the early versions gain from L1 and L2 what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cuda_calls.launch import launch


class Machine(NamedTuple):
    """Peaks of a GPU, from its data sheet: flop/s in float32, bytes/s."""

    name: str
    flops: float
    memory: float
    shared: float  # 128 bytes a clock on each multiprocessor


H100 = Machine("H100 SXM", flops=67e12, memory=3.35e12, shared=132 * 128 * 1.83e9)


class Step(NamedTuple):
    """One version. global_reads and shared_reads: values a multiply-add."""

    kernel: str
    idea: str
    global_reads: float
    shared_reads: float
    grid: Callable[..., tuple[int, ...]]  # of the sizes, in the order in which the kernel takes them
    threads: int

    def seconds(self, multiply_adds: float, machine: Machine = H100) -> float:
        """The modelled time."""
        return multiply_adds * max(
            2 / machine.flops, 4 * self.global_reads / machine.memory, 4 * self.shared_reads / machine.shared
        )

    def share_of_peak(self, machine: Machine = H100) -> float:
        """Of the GPU's float32 flops, by the model."""
        return 2 / machine.flops / self.seconds(1, machine)


def _tiles(side_m: int, side_n: int) -> Callable[..., tuple[int, ...]]:
    return lambda M, N, K: (-(-N // side_n), -(-M // side_m))


MATMUL = (
    # A warp of v1 holds 16 rows and 2 columns: 16 transactions of 32 bytes for a, and one for b.
    Step("matmul_v1", "one thread a result, rows side by side", 4.25, 0.0, _tiles(16, 16), 256),
    Step("matmul_v2", "columns side by side: coalesced", 1 + 1 / 16, 0.0, _tiles(16, 16), 256),
    Step("matmul_v3", "tiles in shared memory", 1 / 8, 2.0, _tiles(16, 16), 256),
    Step("matmul_v4", "four results a thread", 1 / 32, 1.25, _tiles(64, 64), 1024),
    Step("matmul_v5", "4 x 4 results a thread", 1 / 32, 0.5, _tiles(64, 64), 256),
    # Two threads of a quarter warp read the same 16 bytes of a, and eight the same of b: broadcasts count once.
    Step("matmul_v6", "two buffers, four values an access", 1 / 32, 0.125, _tiles(64, 64), 256),
)
CONV = (
    Step("conv_v1", "one thread an output", 1 + 1 / 32, 0.0, lambda *sizes: _blocks(sizes, 1), 256),
    Step("conv_v2", "four channels a thread", 0.25 + 1 / 32, 0.0, lambda *sizes: _blocks(sizes, 4), 256),
    Step(
        "conv_v3",
        "pixels in shared memory",
        1 / 32 + 400 / 256 / 9,
        1.0,
        lambda N, C, H, W, O, R, S, padding, P, Q: (-(-P // 16) * -(-Q // 16), O, N),  # noqa: E741
        256,
    ),
    Step(
        "conv_v4",
        "a product of tiles, columns never stored",
        1 / 8,
        2.0,
        lambda N, C, H, W, O, R, S, padding, P, Q: (-(-N * P * Q // 16), -(-O // 16)),  # noqa: E741
        256,
    ),
)


def _blocks(sizes: tuple[int, ...], channels: int) -> tuple[int]:
    N, _, _, _, O, _, _, _, P, Q = sizes  # noqa: E741
    return (max(1, min(4096, -(-N * -(-O // channels) * P * Q // 256))),)


def matmul(step: Step, a: Any, b: Any, c: Any) -> None:
    """c = a @ b by this version. Arrays of CuPy, or NumPy's inside emulated()."""
    sizes = (a.shape[0], b.shape[1], a.shape[1])
    launch("ladder/matmul.cu", step.kernel, step.grid(*sizes), (a, b, c, *sizes), threads=step.threads)


def conv(step: Step, x: Any, weight: Any, y: Any, padding: int) -> None:
    """y = the convolution of stride 1 by this version. conv_v3 takes kernels up to 5 x 5."""
    (N, C, H, W), (O, _, R, S) = x.shape, weight.shape  # noqa: E741
    sizes = (N, C, H, W, O, R, S, padding, *y.shape[2:])
    launch("ladder/conv.cu", step.kernel, step.grid(*sizes), (x, weight, y, *sizes), threads=step.threads)


def table(measure: Callable[[Step], float | None] | None = None) -> str:
    """The ladder as Markdown; measure(step), if given, returns the seconds of one launch, None if unknown."""
    lines = [
        f"| version | idea | modelled share of an {H100.name}'s float32 peak | measured, ms |",
        "|---|---|---|---|",
    ]
    for step in (*MATMUL, *CONV):
        seconds = measure(step) if measure else None
        measured = "-" if seconds is None else f"{1e3 * seconds:.3f}"
        lines.append(f"| {step.kernel} | {step.idea} | {step.share_of_peak():.1%} | {measured} |")
    return "\n".join(lines)


def measure_on_gpu(step: Step, size: int = 2048) -> float:
    """Seconds of one launch on this machine's GPU, the median of ten, for size^3 multiply-adds or nearly so."""
    import cupy
    from cupyx.profiler import benchmark

    rng = np.random.default_rng(0)

    def random(*shape: int) -> Any:
        return cupy.asarray(rng.standard_normal(shape, dtype=np.float32))

    if step in MATMUL:
        a, b, c = random(size, size), random(size, size), cupy.empty((size, size), np.float32)
        call: Callable[[], None] = lambda: matmul(step, a, b, c)  # noqa: E731
    else:
        images = max(1, size**3 // (64 * 64 * 9 * 56 * 56))
        x, weight = random(images, 64, 56, 56), random(64, 64, 3, 3)
        y = cupy.empty_like(x)
        call = lambda: conv(step, x, weight, y, 1)  # noqa: E731
    times = benchmark(call, n_repeat=10, n_warmup=2).gpu_times.ravel()
    return float(np.median(times))


def main() -> None:
    from minicnn.backend import cuda_available

    print(table(measure_on_gpu if cuda_available() else None))


if __name__ == "__main__":
    main()
