// A step of gemm_tile.cuh on tensor cores: operands rounded to TF32 (10 bits of mantissa), sums in float32.
//
// A warp computes 32 x 64 results by the instruction mma.m16n8k8: 16 x 8 results from a 16 x 8 and an 8 x 8
// fragment, which are spread over its 32 lanes. With g = lane / 4 and t = lane % 4 a lane holds
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

typedef unsigned Shared;  // the bits of a TF32 number

__device__ __forceinline__ Shared to_shared(float value) {
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

struct Results {
  static_assert(BK % 8 == 0, "a step is whole instructions");
  float values[WARP_M / 16][WARP_N / 8][4] = {};

  __device__ __forceinline__ static int g() { return threadIdx.x % 32 / 4; }
  __device__ __forceinline__ static int t() { return threadIdx.x % 4; }
  __device__ __forceinline__ static int warp_row() { return threadIdx.x / 32 / (BN / WARP_N) * WARP_M; }
  __device__ __forceinline__ static int warp_col() { return threadIdx.x / 32 % (BN / WARP_N) * WARP_N; }

  // values += A B for one step of K.
  __device__ __forceinline__ void add(const Shared (*as)[BM + SKEW], const Shared (*bs)[BN + SKEW]) {
#pragma unroll
    for (int k = 0; k < BK; k += 8) {
      unsigned a[WARP_M / 16][4], b[WARP_N / 8][2];
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) a[i][e] = as[k + t() + e / 2 * 4][warp_row() + i * 16 + g() + e % 2 * 8];
#pragma unroll
      for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) b[j][e] = bs[k + t() + e * 4][warp_col() + j * 8 + g()];
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_N / 8; j++) multiply_add(values[i][j], a[i], b[j]);
    }
  }

  template <class Store>
  __device__ __forceinline__ void hand_over(INDEX row0, INDEX col0, const Store& store) const {
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
      for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          store(row0 + warp_row() + i * 16 + g() + e / 2 * 8, col0 + warp_col() + j * 8 + 2 * t() + e % 2,
                values[i][j][e]);
  }
};
