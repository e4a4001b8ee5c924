// A step of gemm_tile.cuh by fused multiply-adds: TM x TN results a thread, in registers.
//
// Per k a thread reads TM + TN values of shared memory for TM TN multiply-adds: the larger the square, the
// less often. Its results are groups of 4 x 4, apart by what all threads cover: four neighbours in shared
// memory are one 16-byte access, and the threads of a warp read side by side.
#pragma once
#include "common.cuh"

#ifndef BM
#define BM 64
#define BN 64
#define BK 8
#define TM 4
#define TN 4
#endif
#define THREADS ((BM / TM) * (BN / TN))
// Blocks on a multiprocessor at a time, one computing while another waits: it limits the registers of a
// thread. 64 results and their operands, or numbers twice as wide, do not fit a share of them.
#define MIN_BLOCKS (TM * TN > 32 || sizeof(REAL) > 4 ? 1 : 512 / THREADS)
#define SKEW 4  // columns added to a row of shared memory: transposed writes then hit 32 different banks

typedef REAL Shared;  // what a number is in shared memory
__device__ __forceinline__ Shared to_shared(REAL value) { return value; }

struct Results {
  static_assert(TM % 4 == 0 && TN % 4 == 0, "results are held in groups of four");
  REAL values[TM][TN] = {};

  __device__ __forceinline__ static int row(int i) {
    return i / 4 * (BM / TM * 4) + threadIdx.x / (BN / TN) * 4 + i % 4;
  }
  __device__ __forceinline__ static int col(int j) {
    return j / 4 * (BN / TN * 4) + threadIdx.x % (BN / TN) * 4 + j % 4;
  }

  // values += A B for one step of K.
  __device__ __forceinline__ void add(const Shared (*as)[BM + SKEW], const Shared (*bs)[BN + SKEW]) {
#pragma unroll
    for (int k = 0; k < BK; k++) {
      REAL a[TM], b[TN];
#pragma unroll
      for (int i = 0; i < TM; i++) a[i] = as[k][row(i)];
#pragma unroll
      for (int j = 0; j < TN; j++) b[j] = bs[k][col(j)];
#pragma unroll
      for (int i = 0; i < TM; i++)
#pragma unroll
        for (int j = 0; j < TN; j++) values[i][j] += a[i] * b[j];
    }
  }

  template <class Store>
  __device__ __forceinline__ void hand_over(INDEX row0, INDEX col0, const Store& store) const {
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
      for (int j = 0; j < TN; j++) store(row0 + row(i), col0 + col(j), values[i][j]);
  }
};
