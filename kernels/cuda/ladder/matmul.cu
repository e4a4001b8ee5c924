// The matrix product c = a b, six times: from one thread per result to what conv_implicit_gemm.cu calls.
//
//     c[i, j] = sum over k of a[i, k] b[k, j],    a (M, K), b (K, N)
//
// Every version computes the same; what changes is how often a value comes from far away. Per multiply-add,
// the values read from global memory (and, behind the plus, from shared memory):
//
//     v1  4 1/4            a thread a result, neighbours one below the other: of 32 bytes, 4 are used
//     v2  1 1/16           neighbours side by side: half a warp shares a[i, k] and reads b in one piece
//     v3  1/8  + 2         tiles of 16 x 16 in shared memory
//     v4  1/32 + 1 1/4     four results a thread: b's value is used four times
//     v5  1/32 + 1/2       4 x 4 results a thread, in registers
//     v6  1/32 + 1/8       two buffers, and four values an access (gemm_tile.cuh)
#include "common.cuh"
#include "gemm_tile.cuh"

// Neighbouring threads hold neighbouring rows: a warp's 32 reads of a are K apart, 32 transactions.
extern "C" __global__ void matmul_v1(const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ c,
                                     int M, int N, int K) {
  int row = blockIdx.y * 16 + threadIdx.x % 16, col = blockIdx.x * 16 + threadIdx.x / 16;
  if (row >= M || col >= N) return;
  REAL sum = 0;
  for (int k = 0; k < K; k++) sum += a[(INDEX)row * K + k] * b[(INDEX)k * N + col];
  c[(INDEX)row * N + col] = sum;
}

// The same with x and y exchanged: a warp reads 16 neighbours of b in one transaction.
extern "C" __global__ void matmul_v2(const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ c,
                                     int M, int N, int K) {
  int row = blockIdx.y * 16 + threadIdx.x / 16, col = blockIdx.x * 16 + threadIdx.x % 16;
  if (row >= M || col >= N) return;
  REAL sum = 0;
  for (int k = 0; k < K; k++) sum += a[(INDEX)row * K + k] * b[(INDEX)k * N + col];
  c[(INDEX)row * N + col] = sum;
}

// A block loads tiles of a and b once, and each value serves 16 threads.
extern "C" __global__ void matmul_v3(const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ c,
                                     int M, int N, int K) {
  __shared__ REAL tile_a[16][16], tile_b[16][16];
  int y = threadIdx.x / 16, x = threadIdx.x % 16;
  int row = blockIdx.y * 16 + y, col = blockIdx.x * 16 + x;
  REAL sum = 0;
  for (int k0 = 0; k0 < K; k0 += 16) {
    tile_a[y][x] = row < M && k0 + x < K ? a[(INDEX)row * K + k0 + x] : REAL(0);
    tile_b[y][x] = k0 + y < K && col < N ? b[(INDEX)(k0 + y) * N + col] : REAL(0);
    __syncthreads();
    for (int k = 0; k < 16; k++) sum += tile_a[y][k] * tile_b[k][x];
    __syncthreads();
  }
  if (row < M && col < N) c[(INDEX)row * N + col] = sum;
}

// A column of four results a thread: 64 x 64 results a block of 1024 threads.
extern "C" __global__ void __launch_bounds__(1024)
    matmul_v4(const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ c, int M, int N, int K) {
  __shared__ REAL tile_a[64][16], tile_b[16][64];
  int y = threadIdx.x / 64 * 4, x = threadIdx.x % 64;
  REAL sums[4] = {};
  for (int k0 = 0; k0 < K; k0 += 16) {
    int ay = threadIdx.x / 16, ak = threadIdx.x % 16, row = blockIdx.y * 64 + ay, col = blockIdx.x * 64 + x;
    tile_a[ay][ak] = row < M && k0 + ak < K ? a[(INDEX)row * K + k0 + ak] : REAL(0);
    int bk = threadIdx.x / 64;
    tile_b[bk][x] = k0 + bk < K && col < N ? b[(INDEX)(k0 + bk) * N + col] : REAL(0);
    __syncthreads();
    for (int k = 0; k < 16; k++) {
      REAL value = tile_b[k][x];
      for (int i = 0; i < 4; i++) sums[i] += tile_a[y + i][k] * value;
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; i++) {
    int row = blockIdx.y * 64 + y + i, col = blockIdx.x * 64 + x;
    if (row < M && col < N) c[(INDEX)row * N + col] = sums[i];
  }
}

// A square of 4 x 4 results a thread: eight values of shared memory for sixteen multiply-adds.
extern "C" __global__ void __launch_bounds__(256)
    matmul_v5(const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ c, int M, int N, int K) {
  __shared__ REAL tile_a[64][9], tile_b[8][64];  // 9: threads that read one column hit different banks
  int y = threadIdx.x / 16 * 4, x = threadIdx.x % 16 * 4;
  REAL sums[4][4] = {};
  for (int k0 = 0; k0 < K; k0 += 8) {
    for (int place = threadIdx.x; place < 64 * 8; place += 256) {
      int ay = place / 8, ak = place % 8, bk = place / 64, bx = place % 64;
      int row = blockIdx.y * 64 + ay, col = blockIdx.x * 64 + bx;
      tile_a[ay][ak] = row < M && k0 + ak < K ? a[(INDEX)row * K + k0 + ak] : REAL(0);
      tile_b[bk][bx] = k0 + bk < K && col < N ? b[(INDEX)(k0 + bk) * N + col] : REAL(0);
    }
    __syncthreads();
    for (int k = 0; k < 8; k++) {
      REAL left[4], right[4];
      for (int i = 0; i < 4; i++) left[i] = tile_a[y + i][k], right[i] = tile_b[k][x + i];
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sums[i][j] += left[i] * right[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      int row = blockIdx.y * 64 + y + i, col = blockIdx.x * 64 + x + j;
      if (row < M && col < N) c[(INDEX)row * N + col] = sums[i][j];
    }
}

// The tile of the framework: the next step's values are fetched while this step's are multiplied.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    matmul_v6(const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ c, int M, int N, int K) {
  DECLARE_TILES(as, bs);
  tiled_product<true, false>(
      (INDEX)blockIdx.y * BM, (INDEX)blockIdx.x * BN, 0, K,
      [=](INDEX k, INDEX row) { return row < M ? a[row * K + k] : REAL(0); },
      [=](INDEX k, INDEX col) { return col < N ? b[k * N + col] : REAL(0); },
      [=](INDEX row, INDEX col, REAL value) {
        if (row < M && col < N) c[row * N + col] = value;
      },
      as, bs);
}
