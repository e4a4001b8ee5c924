"""The matrix product by tiles in shared memory: the idea of ../cuda/gemm_tile.cuh, one result a thread."""

from __future__ import annotations

from numba import cuda, float32

TILE = 8  # threads a side: a block of TILE x TILE computes as many results


@cuda.jit
def matmul(a, b, c):  # type: ignore[no-untyped-def]
    """c = a @ b for a (M, K), b (K, N). Blocks (ceil(N / TILE), ceil(M / TILE)) of (TILE, TILE) threads.

    Every value that a block loads is used TILE times: 1/TILE of the traffic of one thread a result
    without shared memory.
    """
    tile_a = cuda.shared.array((TILE, TILE), float32)
    tile_b = cuda.shared.array(
        (TILE, TILE), float32
    )  # on a line of its own: the simulator names arrays by line
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    row, column = cuda.blockIdx.y * TILE + ty, cuda.blockIdx.x * TILE + tx
    M, K, N = a.shape[0], a.shape[1], b.shape[1]
    total = float32(0)
    for k0 in range(0, K, TILE):
        # Outside of the matrices lie zeros, which add nothing.
        tile_a[ty, tx] = a[row, k0 + tx] if row < M and k0 + tx < K else float32(0)
        tile_b[ty, tx] = b[k0 + ty, column] if k0 + ty < K and column < N else float32(0)
        cuda.syncthreads()  # the tiles are whole
        for k in range(TILE):
            total += tile_a[ty, k] * tile_b[k, tx]
        cuda.syncthreads()  # everyone has read them
    if row < M and column < N:
        c[row, column] = total
