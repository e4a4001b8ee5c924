"""Softmax of every row, and ReLU: beside ../cuda/cross_entropy.cu and ../cuda/activation.cu."""

from __future__ import annotations

import math

from numba import cuda, float32

THREADS = 32  # of a block, which computes one row at a time


@cuda.jit
def softmax(x, y):  # type: ignore[no-untyped-def]
    """y = exp(x - max) / sum, row by row. x (N, K). Launch with blocks of THREADS threads.

    The .cu file agrees on maximum and sum by shuffles. Here it is done by halving in shared memory,
    which the simulator knows too.
    """
    shared = cuda.shared.array(THREADS, float32)
    thread = cuda.threadIdx.x
    for n in range(cuda.blockIdx.x, x.shape[0], cuda.gridDim.x):
        highest = float32(-math.inf)
        for k in range(thread, x.shape[1], THREADS):
            highest = max(highest, x[n, k])
        shared[thread] = highest
        cuda.syncthreads()
        half = THREADS // 2
        while half > 0:
            if thread < half:
                shared[thread] = max(shared[thread], shared[thread + half])
            cuda.syncthreads()
            half //= 2
        highest = shared[0]
        cuda.syncthreads()  # everyone has read the maximum before the sums take its place

        total = float32(0)
        for k in range(thread, x.shape[1], THREADS):
            total += math.exp(x[n, k] - highest)
        shared[thread] = total
        cuda.syncthreads()
        half = THREADS // 2
        while half > 0:
            if thread < half:
                shared[thread] += shared[thread + half]
            cuda.syncthreads()
            half //= 2
        total = shared[0]
        cuda.syncthreads()
        for k in range(thread, x.shape[1], THREADS):
            y[n, k] = math.exp(x[n, k] - highest) / total


@cuda.jit
def relu(x, y):  # type: ignore[no-untyped-def]
    """y = max(x, 0), of any length: the shortest kernel there is. x and y are one-dimensional."""
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = x[i] if x[i] > 0 else x.dtype.type(0)
