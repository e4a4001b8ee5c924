// Convolution of stride 1, four times: from one thread per output to the edge of conv_implicit_gemm.cu.
//
//     y[n, o, p, q] = sum over c, r, s of weight[o, c, r, s] x[n, c, p + r - padding, q + s - padding]
//
// Per multiply-add, the values read from global memory (and, behind the plus, from shared memory):
//
//     v1  1 1/32           a thread an output: a warp shares the weight
//     v2  1/4 + 1/32       a thread computes 4 channels of an output: a pixel is used four times
//     v3  0.2 + 1          a tile of pixels in shared memory, used by all its windows (3 x 3)
//     v4  1/8 + 2          a matrix product whose columns exist only as tiles of 16 x 16
//
// The last rung is conv_forward in ../conv_implicit_gemm.cu: v4 with 8 x 8 results a thread.
#include "common.cuh"

#define SIZES_PARAMETERS                                                                \
  int N, int C, int H, int W, int O, int R, int S, int padding, int P, int Q

__device__ __forceinline__ REAL pixel(const REAL* image, int h, int w, int H, int W) {
  return h >= 0 && h < H && w >= 0 && w < W ? image[h * W + w] : REAL(0);
}

// A thread an output, as kernels/numba_cuda/conv2d.py.
extern "C" __global__ void conv_v1(const REAL* __restrict__ x, const REAL* __restrict__ weight,
                                   REAL* __restrict__ y, SIZES_PARAMETERS) {
  GRID_STRIDE(i, (INDEX)N * O * P * Q) {
    int q = i % Q, p = i / Q % P, o = i / ((INDEX)P * Q) % O, n = i / ((INDEX)O * P * Q);
    REAL sum = 0;
    for (int c = 0; c < C; c++)
      for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++)
          sum += weight[((o * C + c) * R + r) * S + s] *
                 pixel(x + ((INDEX)n * C + c) * H * W, p + r - padding, q + s - padding, H, W);
    y[i] = sum;
  }
}

// Four output channels a thread: a pixel, once read, is multiplied four times.
extern "C" __global__ void conv_v2(const REAL* __restrict__ x, const REAL* __restrict__ weight,
                                   REAL* __restrict__ y, SIZES_PARAMETERS) {
  const int fours = (O + 3) / 4;
  GRID_STRIDE(i, (INDEX)N * fours * P * Q) {
    int q = i % Q, p = i / Q % P, o = i / ((INDEX)P * Q) % fours * 4, n = i / ((INDEX)fours * P * Q);
    REAL sums[4] = {};
    for (int c = 0; c < C; c++)
      for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++) {
          REAL value = pixel(x + ((INDEX)n * C + c) * H * W, p + r - padding, q + s - padding, H, W);
          for (int j = 0; j < 4; j++)
            if (o + j < O) sums[j] += value * weight[(((o + j) * C + c) * R + r) * S + s];
        }
    for (int j = 0; j < 4; j++)
      if (o + j < O) y[(((INDEX)n * O + o + j) * P + p) * Q + q] = sums[j];
  }
}

// A block computes 16 x 16 outputs of one channel. The pixels under them lie in shared memory, with a
// border for the windows at the edge; kernels up to 5 x 5.
extern "C" __global__ void conv_v3(const REAL* __restrict__ x, const REAL* __restrict__ weight,
                                   REAL* __restrict__ y, SIZES_PARAMETERS) {
  __shared__ REAL tile[20][20];
  const int tiles_q = (Q + 15) / 16, top = blockIdx.x / tiles_q * 16, left = blockIdx.x % tiles_q * 16;
  const int o = blockIdx.y, n = blockIdx.z, dp = threadIdx.x / 16, dq = threadIdx.x % 16;
  REAL sum = 0;
  for (int c = 0; c < C; c++) {
    const REAL* image = x + ((INDEX)n * C + c) * H * W;
    for (int place = threadIdx.x; place < 20 * 20; place += 256)
      tile[place / 20][place % 20] = pixel(image, top + place / 20 - padding, left + place % 20 - padding, H, W);
    __syncthreads();
    for (int r = 0; r < R; r++)
      for (int s = 0; s < S; s++) sum += weight[((o * C + c) * R + r) * S + s] * tile[dp + r][dq + s];
    __syncthreads();
  }
  if (top + dp < P && left + dq < Q) y[(((INDEX)n * O + o) * P + top + dp) * Q + left + dq] = sum;
}

// matmul_v3 with im2col in the place of b: a tile of columns is made where it is needed, and never stored.
extern "C" __global__ void conv_v4(const REAL* __restrict__ x, const REAL* __restrict__ weight,
                                   REAL* __restrict__ y, SIZES_PARAMETERS) {
  __shared__ REAL tile_w[16][16], tile_x[16][16];
  const int ty = threadIdx.x / 16, tx = threadIdx.x % 16, taps = C * R * S;
  const int o = blockIdx.y * 16 + ty;
  const INDEX column = (INDEX)blockIdx.x * 16 + tx, columns = (INDEX)N * P * Q;
  const int q = column % Q, p = column / Q % P, n = column / ((INDEX)P * Q);
  REAL sum = 0;
  for (int k0 = 0; k0 < taps; k0 += 16) {
    int tap = k0 + ty, s = tap % S, r = tap / S % R, c = tap / (R * S);
    tile_w[ty][tx] = o < O && k0 + tx < taps ? weight[o * taps + k0 + tx] : REAL(0);
    tile_x[ty][tx] = tap < taps && column < columns
                         ? pixel(x + ((INDEX)n * C + c) * H * W, p + r - padding, q + s - padding, H, W)
                         : REAL(0);
    __syncthreads();
    for (int k = 0; k < 16; k++) sum += tile_w[ty][k] * tile_x[k][tx];
    __syncthreads();
  }
  if (o < O && column < columns) y[(((INDEX)n * O + o) * P + p) * Q + q] = sum;
}
