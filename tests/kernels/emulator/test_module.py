"""The emulator: a kernel that is right computes what it says, and one that is wrong is told so, in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn.errors import ConfigError
from minicnn.kernels.emulator import EmulatedModule, EmulatorError
from minicnn.kernels.emulator.compiler import cache_folder, compile_library, sanitizer_library
from minicnn.kernels.emulator.module import ORDERS, thread_order
from tests.support.training import ROOT

CODE = """
extern "C" __global__ void scale(const float* x, float* y, float factor, int size, int shift) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x)
    y[i + shift] = factor * x[i];
}
// Reverses each block's share: with the barrier by way of shared memory, without it too soon.
extern "C" __global__ void reverse(const float* x, float* y) {
  __shared__ float values[64];
  values[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = values[63 - threadIdx.x];
}
extern "C" __global__ void reverse_without_barrier(const float* x, float* y) {
  __shared__ float values[64];
  values[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  y[blockIdx.x * 64 + threadIdx.x] = values[63 - threadIdx.x];
}
extern "C" __global__ void early_return(float* y, int size) {
  if (threadIdx.x >= size) return;
  __syncthreads();
  y[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(float* y) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = 1;
}
extern "C" __global__ void half_a_warp(float* y) {
  float value = 1;
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0xffffffffu, value, 1);
  y[threadIdx.x] = value;
}
extern "C" __global__ void never_set(float* y) {
  __shared__ float shared[32];
  float local;
  y[0] = shared[3];
  y[1] = local;
}
extern "C" __global__ void which_block(int* order, int* count) {
  if (threadIdx.x == 0) order[(*count)++] = blockIdx.x;
}
extern "C" __global__ void warp_total(const float* x, float* y) {
  float value = x[threadIdx.x];
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
  y[threadIdx.x] = value + __shfl_down_sync(0xffffffffu, x[threadIdx.x], 1);
}
extern "C" __global__ void places(int* x, int* y, int* z) {
  int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  x[thread] = threadIdx.x, y[thread] = threadIdx.y, z[thread] = threadIdx.z;
}
"""

every_order = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(scope="module")
def module() -> EmulatedModule:
    return EmulatedModule(code=CODE)


def floats(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.float32)


@every_order
class TestARightKernel:
    def test_a_loop_in_strides(self, module: EmulatedModule, order: str) -> None:
        x, y = floats(1000), np.zeros(1000, np.float32)
        with thread_order(order):
            args = (x, y, np.float32(3), np.int32(1000), np.int32(0))
            module.get_function("scale")((2,), (64,), args)
        np.testing.assert_array_equal(y, 3 * x)

    def test_shared_memory_and_a_barrier(self, module: EmulatedModule, order: str) -> None:
        x, y = floats(192), np.zeros(192, np.float32)
        with thread_order(order):
            module.get_function("reverse")((3,), (64,), (x, y))
        np.testing.assert_array_equal(y, x.reshape(3, 64)[:, ::-1].ravel())

    def test_shuffles(self, module: EmulatedModule, order: str) -> None:
        """The sum of a warp in every lane; the last lane has no neighbour and gets its own value."""
        x, y = floats(64), np.zeros(64, np.float32)
        with thread_order(order):
            module.get_function("warp_total")((1,), (64,), (x, y))
        warps = x.reshape(2, 32)
        neighbours = np.concatenate([warps[:, 1:], warps[:, -1:]], axis=1)
        np.testing.assert_array_equal(y.reshape(2, 32), warps.sum(axis=1, keepdims=True) + neighbours)

    def test_three_dimensional_blocks(self, module: EmulatedModule, order: str) -> None:
        x, y, z = (np.full(24, -1, np.int32) for _ in range(3))
        with thread_order(order):
            module.get_function("places")((1,), (2, 3, 4), (x, y, z))
        grid = np.indices((4, 3, 2)).reshape(3, -1)
        np.testing.assert_array_equal((z, y, x), grid)


class TestOrders:
    def test_blocks_are_taken_up_in_the_order_that_was_asked_for(self, module: EmulatedModule) -> None:
        seen = {}
        for order in ORDERS:
            blocks, count = np.zeros(16, np.int32), np.zeros(1, np.int32)
            with thread_order(order):
                module.get_function("which_block")((16,), (32,), (blocks, count))
            seen[order] = blocks.tolist()
        assert seen["forward"] == list(range(16))
        assert seen["reversed"] == list(range(15, -1, -1))
        assert sorted(seen["shuffled"]) == seen["forward"] != seen["shuffled"]

    def test_a_missing_barrier_is_seen_in_one_of_them(self, module: EmulatedModule) -> None:
        x, right = floats(64), floats(64)[::-1]
        outcomes = []
        for order in ORDERS:
            y = np.zeros(64, np.float32)
            with thread_order(order):
                module.get_function("reverse_without_barrier")((1,), (64,), (x, y))
            outcomes.append(np.array_equal(y, right))
        assert not all(outcomes)

    def test_an_unknown_one(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'reversed'"), thread_order("reverse"):
            pass


class TestWhatAGpuWouldHangOn:
    @pytest.mark.parametrize(
        ("kernel", "args", "why"),
        [
            ("early_return", (np.int32(60),), "wait at a barrier that others never reach"),
            ("two_barriers", (), "different __syncthreads"),
            ("half_a_warp", (), "lanes of a warp wait for others that never come"),
        ],
    )
    @every_order
    def test_divergence(self, module: EmulatedModule, order: str, kernel: str, args: tuple, why: str) -> None:
        with pytest.raises(EmulatorError, match=f"{kernel}: line .*{why}"), thread_order(order):
            module.get_function(kernel)((1,), (64,), (np.zeros(64, np.float32), *args))

    def test_the_next_launch_works_again(self, module: EmulatedModule) -> None:
        with pytest.raises(EmulatorError):
            module.get_function("two_barriers")((1,), (64,), (np.zeros(64, np.float32),))
        self_test = TestARightKernel()
        self_test.test_shared_memory_and_a_barrier(module, "forward")


class TestMemory:
    def test_what_nobody_has_set_is_poison(self, module: EmulatedModule) -> None:
        y = np.zeros(2, np.float32)
        module.get_function("never_set")((1,), (1,), (y,))
        assert np.isnan(y[0])
        assert np.isnan(y[1]) or abs(y[1]) > 1e30

    @pytest.mark.parametrize(("shift", "side"), [(1, "behind"), (-1, "before")])
    def test_a_write_outside_an_array(self, module: EmulatedModule, shift: int, side: str) -> None:
        x, y = floats(10), np.zeros(10, np.float32)
        args = (x, y, np.float32(1), np.int32(10), np.int32(shift))
        with pytest.raises(EmulatorError, match=rf"scale: wrote {side} the array of argument 1, \(10,\)"):
            module.get_function("scale")((1,), (32,), args)

    def test_a_read_outside_an_array_gives_nan(self, module: EmulatedModule) -> None:
        x, y = floats(10), np.zeros(12, np.float32)
        args = (x, y, np.float32(1), np.int32(12), np.int32(0))
        module.get_function("scale")((1,), (32,), args)
        assert np.isnan(y[10:]).all()
        np.testing.assert_array_equal(y[:10], x)

    def test_an_array_given_twice_is_one(self, module: EmulatedModule) -> None:
        x = floats(40)
        args = (x, x, np.float32(2), np.int32(40), np.int32(0))
        module.get_function("scale")((1,), (32,), args)
        np.testing.assert_array_equal(x, 2 * floats(40))

    @pytest.mark.slow
    def test_address_sanitizer_names_the_line(self) -> None:
        code = (
            "import numpy as np\n"
            "from minicnn.kernels.emulator import EmulatedModule\n"
            "from tests.kernels.emulator.test_module import CODE, floats\n"
            "module = EmulatedModule(CODE, sanitize=True)\n"
            "for size in (10, 11):\n"
            "    args = floats(10), floats(11), np.float32(1), np.int32(size), np.int32(0)\n"
            "    module.get_function('scale')((1,), (32,), args)\n"
            "    print('clean', size, flush=True)\n"
        )
        environment = {
            "LD_PRELOAD": sanitizer_library(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "NUMBA_CACHE_DIR": str(cache_folder().parent.parent)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout.split("\n")[0] == "clean 10", done.stderr
        assert "heap-buffer-overflow" in done.stderr
        assert "kernel.cu:4" in done.stderr


class TestArguments:
    @pytest.mark.parametrize(
        ("index", "wrong", "message"),
        [
            (2, 3.0, r"argument 2: the kernel expects float32, got float: write np.float32"),
            (2, np.float64(3), r"expects float32, got float64"),
            (3, 10, r"argument 3: the kernel expects int32, got int: write np.int32"),
            (3, np.int64(10), r"expects int32, got int64"),
            (0, np.zeros(10), r"argument 0: expected a C-contiguous array of float32, got float64\(10,\)"),
            (1, np.zeros(20, np.float32)[::2], r"argument 1: expected a C-contiguous array"),
            (1, [0.0] * 10, r"argument 1: expected a C-contiguous array of float32, got list"),
            (1, None, r"argument 1: write np.uintp\(0\) for a null pointer"),
        ],
    )
    def test_of_the_wrong_type(self, module: EmulatedModule, index: int, wrong: object, message: str) -> None:
        args = [floats(10), floats(10), np.float32(1), np.int32(10), np.int32(0)]
        args[index] = wrong
        with pytest.raises(EmulatorError, match=message):
            module.get_function("scale")((1,), (32,), args)

    def test_too_few(self, module: EmulatedModule) -> None:
        with pytest.raises(
            EmulatorError, match=r"reverse takes 2 arguments \(const float32\*, float32\*\), got 1"
        ):
            module.get_function("reverse")((1,), (64,), (floats(64),))

    @pytest.mark.parametrize(
        ("grid", "block", "message"),
        [
            ((1,), (1025,), "at most 1024 threads"),
            ((1, 70000), (32,), "a grid has at most"),
            ((0,), (32,), "must be a positive int"),
            ((1.5,), (32,), "must be a positive int"),
        ],
    )
    def test_impossible_sizes(self, module: EmulatedModule, grid: tuple, block: tuple, message: str) -> None:
        with pytest.raises(EmulatorError, match=message):
            module.get_function("reverse")(grid, block, (floats(64), floats(64)))

    def test_an_unknown_kernel(self, module: EmulatedModule) -> None:
        with pytest.raises(EmulatorError, match="did you mean 'reverse'"):
            module.get_function("revers")


class TestCompiling:
    def test_an_error_is_shown_with_its_line(self) -> None:
        with pytest.raises(EmulatorError, match=r"kernel\.cu:2.*unknown_function"):
            compile_library('extern "C" __global__ void f(float* x) {\n unknown_function(x);\n}')

    def test_each_text_is_compiled_once(self, module: EmulatedModule) -> None:
        first = compile_library(CODE)
        written = first.stat().st_mtime_ns
        assert compile_library(CODE) == first
        assert first.stat().st_mtime_ns == written
        assert first.parent == cache_folder()

    def test_without_a_compiler(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from minicnn.kernels.emulator import compiler

        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        compiler._compiler.cache_clear()
        try:
            with pytest.raises(EmulatorError, match=r"needs a C\+\+ compiler.*apt-get install g\+\+"):
                compile_library(CODE)
        finally:
            compiler._compiler.cache_clear()
