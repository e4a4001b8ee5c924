// The three products of a fully connected layer, as tiles (gemm_tile.cuh).
//
//     pass          rows M      columns N     summed over K    A        B
//     forward       image n     output m      feature d        x        weight, transposed
//     grad_input    image n     feature d     output m         dy       weight
//     grad_weight   output m    feature d     image n          dy, tr.  x
//
// Threads: a block computes one BM x BN tile; blockIdx.x counts tiles of columns, blockIdx.y tiles of rows.
// Small layers have few tiles and sum over much: blockIdx.z splits the sum, every part goes to a place of its
// own (parts, M, N), and sum_parts (sums.cu) adds them in a fixed order.
// Memory: A once for every tile of columns, B once for every tile of rows, the parts once.
//
// Large products are cuBLAS's. Small ones are here because the time goes into launching them: a CUDA graph
// launches many kernels at once, and CuPy does not record cuBLAS.
#include "common.cuh"
#include "gemm_tile.cuh"

#define PRODUCT_PARAMETERS                                                                         \
  const REAL* __restrict__ a, const REAL* __restrict__ b, REAL* __restrict__ parts, int M, int N, \
      int K, int k_per_part
#define PART                                                        \
  const INDEX begin = (INDEX)blockIdx.z * k_per_part;               \
  const INDEX end = min(begin + k_per_part, (INDEX)K);              \
  REAL* out = parts + (INDEX)blockIdx.z * M * N
#define ROW0 ((INDEX)blockIdx.y * BM)
#define COL0 ((INDEX)blockIdx.x * BN)

// out = a b^T: a (M, K), b (N, K).
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) linear_forward(PRODUCT_PARAMETERS) {
  DECLARE_TILES(as, bs);
  PART;
  tiled_product<true, true>(
      ROW0, COL0, begin, end, [=](INDEX k, INDEX row) { return row < M ? a[row * K + k] : REAL(0); },
      [=](INDEX k, INDEX col) { return col < N ? b[col * K + k] : REAL(0); },
      [=](INDEX row, INDEX col, REAL value) {
        if (row < M && col < N) out[row * N + col] = value;
      },
      as, bs);
}

// out = a b: a (M, K), b (K, N).
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) linear_grad_input(PRODUCT_PARAMETERS) {
  DECLARE_TILES(as, bs);
  PART;
  tiled_product<true, false>(
      ROW0, COL0, begin, end, [=](INDEX k, INDEX row) { return row < M ? a[row * K + k] : REAL(0); },
      [=](INDEX k, INDEX col) { return col < N ? b[k * N + col] : REAL(0); },
      [=](INDEX row, INDEX col, REAL value) {
        if (row < M && col < N) out[row * N + col] = value;
      },
      as, bs);
}

// out = a^T b: a (K, M), b (K, N).
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS) linear_grad_weight(PRODUCT_PARAMETERS) {
  DECLARE_TILES(as, bs);
  PART;
  tiled_product<false, false>(
      ROW0, COL0, begin, end, [=](INDEX k, INDEX row) { return row < M ? a[k * M + row] : REAL(0); },
      [=](INDEX k, INDEX col) { return col < N ? b[k * N + col] : REAL(0); },
      [=](INDEX row, INDEX col, REAL value) {
        if (row < M && col < N) out[row * N + col] = value;
      },
      as, bs);
}
