// Sums with a fixed order of additions: the same bits in every run.
#include "common.cuh"

// out[i] = sum over parts of parts[part, i]: what was computed in parts becomes one.
// Threads: one per result. Memory: every part once, neighbouring threads side by side.
extern "C" __global__ void sum_parts(const REAL* __restrict__ parts, REAL* __restrict__ out, int count,
                                     INDEX size) {
  GRID_STRIDE(i, size) {
    REAL sum = 0;
    for (int part = 0; part < count; part++) sum += parts[part * size + i];
    out[i] = sum;
  }
}

// parts[part, c] = sum of dy[n, c, pixel] over a share of n and pixels: a bias's gradient, in parts.
// Threads: a block for a channel (blockIdx.y) and a share of its values (blockIdx.x); neighbours read
// neighbours. Memory: dy once.
extern "C" __global__ void channel_sums(const REAL* __restrict__ dy, REAL* __restrict__ parts, int N, int C,
                                        int image) {
  __shared__ REAL sums[32];
  const int c = blockIdx.y;
  const Divisor<INDEX> by_image(image);
  REAL sum = 0;
  GRID_STRIDE(i, (INDEX)N * image) {
    INDEX place, n = by_image.divide(i, place);
    sum += dy[(n * C + c) * image + place];
  }
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) parts[(INDEX)blockIdx.x * C + c] = sum;
}
