// The tile of gemm_tile.cuh on tensor cores: operands rounded to TF32 (10 bits of mantissa), sums in float32.
//
// The loop is the same: fetch, multiply, lay down, meet. What differs is the middle. A warp computes
// 32 x 64 results by the instruction mma.m16n8k8: 16 x 8 results from a 16 x 8 and an 8 x 8 fragment, which
// are spread over its 32 lanes. With g = lane / 4 and t = lane % 4 a lane holds
//     A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4],   B[t][g], B[t+4][g],
//     D[g][2t], D[g][2t+1], D[g+8][2t], D[g+8][2t+1]
// (PTX manual, "Matrix fragments for mma.m16n8k8", .tf32). A row of shared memory is 8 longer than the tile:
// the 4 x 8 addresses that a warp reads for one fragment then lie in 32 different banks.
// An input is rounded to the nearest TF32 when it is laid down; products of two are exact in float32. The
// relative error of an input is at most 2^-11.
#pragma once
#include "common.cuh"

#ifndef BM
#define BM 64
#define BN 128
#define BK 16
#endif
#define WARP_M 32
#define WARP_N 64
#define THREADS ((BM / WARP_M) * (BN / WARP_N) * 32)
#define MIN_BLOCKS (256 / THREADS)
#define SKEW 8
#define DECLARE_TILES(as, bs)                                  \
  __shared__ __align__(16) unsigned as[2][BK][BM + SKEW]; \
  __shared__ __align__(16) unsigned bs[2][BK][BN + SKEW]

__device__ __forceinline__ unsigned to_tf32(float value) {
#if defined(MINICNN_EMULATOR)
  return __float_as_uint(emulator_to_tf32(value));
#elif __CUDA_ARCH__ >= 800
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  return __float_as_uint(value);  // never launched: compute capability 8.0 is the first with TF32
#endif
}

__device__ __forceinline__ void multiply_add(float* d, const unsigned* a, const unsigned* b) {
#if defined(MINICNN_EMULATOR)
  emulator_mma_m16n8k8(d, a, b);
#elif __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

template <bool ALONG_K, int SIDE, class Load>
__device__ __forceinline__ void fetch(float* values, const Load& load, INDEX k0, INDEX k_end, INDEX side0) {
#pragma unroll
  for (int j = 0; j < SIDE * BK / THREADS; j++) {
    int place = threadIdx.x + j * THREADS;
    int k = ALONG_K ? place % BK : place / SIDE, side = ALONG_K ? place / BK : place % SIDE;
    values[j] = k0 + k < k_end ? load(k0 + k, side0 + side) : 0.f;
  }
}

template <bool ALONG_K, int SIDE>
__device__ __forceinline__ void lay_down(const float* values, unsigned (*buffer)[SIDE + SKEW]) {
#pragma unroll
  for (int j = 0; j < SIDE * BK / THREADS; j++) {
    int place = threadIdx.x + j * THREADS;
    int k = ALONG_K ? place % BK : place / SIDE, side = ALONG_K ? place / BK : place % SIDE;
    buffer[k][side] = to_tf32(values[j]);
  }
}

// As in gemm_tile.cuh.
template <bool A_ALONG_K, bool B_ALONG_K, class LoadA, class LoadB, class Store>
__device__ __forceinline__ void tiled_product(INDEX row0, INDEX col0, INDEX k_begin, INDEX k_end,
                                              const LoadA& load_a, const LoadB& load_b, const Store& store,
                                              unsigned (*as)[BK][BM + SKEW], unsigned (*bs)[BK][BN + SKEW]) {
  static_assert(BM * BK % THREADS == 0 && BN * BK % THREADS == 0, "every thread fetches equally much");
  static_assert(BK % 8 == 0, "a step is whole instructions");
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int warp_row = warp / (BN / WARP_N) * WARP_M, warp_col = warp % (BN / WARP_N) * WARP_N;
  float results[WARP_M / 16][WARP_N / 8][4] = {};
  float next_a[BM * BK / THREADS], next_b[BN * BK / THREADS];

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
#pragma unroll
    for (int k = 0; k < BK; k += 8) {
      unsigned a[WARP_M / 16][4], b[WARP_N / 8][2];
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          a[i][e] = as[current][k + t + e / 2 * 4][warp_row + i * 16 + g + e % 2 * 8];
#pragma unroll
      for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) b[j][e] = bs[current][k + t + e * 4][warp_col + j * 8 + g];
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_N / 8; j++) multiply_add(results[i][j], a[i], b[j]);
    }
    if (more) {
      lay_down<A_ALONG_K, BM>(next_a, as[1 - current]);
      lay_down<B_ALONG_K, BN>(next_b, bs[1 - current]);
    }
    __syncthreads();
    current = 1 - current;
  }
#pragma unroll
  for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
    for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        store(row0 + warp_row + i * 16 + g + e / 2 * 8, col0 + warp_col + j * 8 + 2 * t + e % 2, results[i][j][e]);
}
