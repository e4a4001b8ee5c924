// Dropout with counter-based random bits: the same mask as on the CPU, for the same seed and offset.
//
// Philox4x32-10 (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3) is a function from a
// 128-bit counter and a 64-bit key to 128 random bits: ten rounds of two multiplications. There is no
// state to keep, so any thread can compute the bits of any element.
// Threads: one per four elements, which share a counter. Memory: x, y and one byte of mask an element.
#include "common.cuh"

// Words i % 4 of the block with counter (i / 4, offset): as in minicnn/functional/philox.py.
__device__ __forceinline__ void philox4x32_10(unsigned long long counter, unsigned long long offset,
                                              unsigned long long seed, unsigned* words) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32);
  unsigned c2 = (unsigned)offset, c3 = (unsigned)(offset >> 32);
  unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;  // the golden ratio and sqrt(3) - 1: Weyl sequences
    k1 += 0xBB67AE85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

// kept[i] = bits >= threshold, y[i] = x[i] * scale where kept, else 0. threshold = p 2^32, not rounded to a
// whole number. `later`, if given, is added to offset, which is frozen where the launch is part of a CUDA
// graph: so every replay draws bits of its own.
extern "C" __global__ void dropout_forward(const REAL* __restrict__ x, REAL* __restrict__ y,
                                           bool* __restrict__ kept, unsigned long long seed,
                                           unsigned long long offset,
                                           const unsigned long long* __restrict__ later, double threshold,
                                           REAL scale, INDEX size) {
  if (later) offset += later[0];
  GRID_STRIDE(block, (size + 3) / 4) {
    unsigned words[4];
    philox4x32_10(block, offset, seed, words);
    for (int j = 0; j < 4; j++) {
      INDEX i = block * 4 + j;
      if (i >= size) break;
      kept[i] = (double)words[j] >= threshold;
      y[i] = kept[i] ? x[i] * scale : REAL(0);  // what is dropped may be infinite
    }
  }
}

extern "C" __global__ void dropout_backward(const REAL* __restrict__ dy, const bool* __restrict__ kept,
                                            REAL* __restrict__ dx, REAL scale, INDEX size) {
  GRID_STRIDE(i, size) dx[i] = kept[i] ? dy[i] * scale : REAL(0);
}
