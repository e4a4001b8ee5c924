// The matrix product that every convolution becomes: one block computes one tile of D = A B.
//
// A (M, K) and B (K, N) are never stored: a "load" is a function that knows where an element comes from,
// and a "store" one that knows where a result goes. So the same loop serves the forward pass and both
// gradients, and im2col's columns exist only as tiles in shared memory ("implicit GEMM").
//
// A tile is BM x BN; K is walked through in steps of BK:
//     1. every thread fetches its share of the next step's A (BM x BK) and B (BK x BN) into registers,
//     2. the block multiplies the current step: by fused multiply-adds (gemm_fma.cuh) or, with -DTF32, by
//        tensor cores (gemm_tf32.cuh),
//     3. lays the fetched values down in the other of two shared buffers, and meets at a barrier.
// With two buffers the loads of one step are on their way while another is computed, and one barrier a
// step is enough: nobody writes where others still read.
//
// Traffic per step and block: (BM + BN) BK values from global memory for 2 BM BN BK flops, so
// BM BN / (2 (BM + BN)) flops a byte in float32: 32 for 128 x 128, 16 for 64 x 64.
// In shared memory A lies transposed, k by row, so that both operands are read along a row.
#pragma once
#ifdef TF32
#include "gemm_tf32.cuh"
#else
#include "gemm_fma.cuh"
#endif

#define DECLARE_TILES(as, bs)                                \
  __shared__ __align__(16) Shared as[2][BK][BM + SKEW]; \
  __shared__ __align__(16) Shared bs[2][BK][BN + SKEW]

// This thread's share of a (BK x SIDE) step. Neighbouring threads take neighbouring places along k, where
// the operand is contiguous in k, or across: then every thread stays in one column.
template <bool ALONG_K, int SIDE, class Load>
__device__ __forceinline__ void fetch(REAL* values, const Load& load, INDEX k0, INDEX k_end, INDEX side0) {
#pragma unroll
  for (int j = 0; j < SIDE * BK / THREADS; j++) {
    int place = threadIdx.x + j * THREADS;
    int k = ALONG_K ? place % BK : place / SIDE, side = ALONG_K ? place / BK : place % SIDE;
    values[j] = k0 + k < k_end ? load(k0 + k, side0 + side) : REAL(0);
  }
}

template <bool ALONG_K, int SIDE>
__device__ __forceinline__ void lay_down(const REAL* values, Shared (*buffer)[SIDE + SKEW]) {
#pragma unroll
  for (int j = 0; j < SIDE * BK / THREADS; j++) {
    int place = threadIdx.x + j * THREADS;
    int k = ALONG_K ? place % BK : place / SIDE, side = ALONG_K ? place / BK : place % SIDE;
    buffer[k][side] = to_shared(values[j]);
  }
}

// One tile, rows from row0 and columns from col0, over k_begin <= k < k_end. load_a(k, row) and
// load_b(k, col) give 0 outside the matrix; store(row, col, value) ignores what lies outside.
template <bool A_ALONG_K, bool B_ALONG_K, class LoadA, class LoadB, class Store>
__device__ __forceinline__ void tiled_product(INDEX row0, INDEX col0, INDEX k_begin, INDEX k_end,
                                              const LoadA& load_a, const LoadB& load_b, const Store& store,
                                              Shared (*as)[BK][BM + SKEW], Shared (*bs)[BK][BN + SKEW]) {
  static_assert(BM * BK % THREADS == 0 && BN * BK % THREADS == 0, "every thread fetches equally much");
  Results results;
  REAL next_a[BM * BK / THREADS], next_b[BN * BK / THREADS];

  fetch<A_ALONG_K, BM>(next_a, load_a, k_begin, k_end, row0);
  fetch<B_ALONG_K, BN>(next_b, load_b, k_begin, k_end, col0);
  lay_down<A_ALONG_K, BM>(next_a, as[0]);
  lay_down<B_ALONG_K, BN>(next_b, bs[0]);
  __syncthreads();
  int current = 0;
  for (INDEX k0 = k_begin; k0 < k_end; k0 += BK) {
    bool more = k0 + BK < k_end;
    if (more) {
      fetch<A_ALONG_K, BM>(next_a, load_a, k0 + BK, k_end, row0);
      fetch<B_ALONG_K, BN>(next_b, load_b, k0 + BK, k_end, col0);
    }
    results.add(as[current], bs[current]);
    if (more) {
      lay_down<A_ALONG_K, BM>(next_a, as[1 - current]);
      lay_down<B_ALONG_K, BN>(next_b, bs[1 - current]);
    }
    __syncthreads();
    current = 1 - current;
  }
  results.hand_over(row0, col0, store);
}
