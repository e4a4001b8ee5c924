// What all kernels share: the number type, loops over a grid, quick division, sums over a block.
//
// Each .cu file is compiled once per number type: REAL is float (what networks compute in) or double
// (what gradients are proven in). INDEX is the type of positions in an array: int, or long long for
// arrays of 2^30 elements and more, where int arithmetic would overflow. The launching code picks both.
#pragma once
#ifndef REAL
#define REAL float
#endif
#ifndef INDEX
#define INDEX int
#endif

// All elements i < n, however many blocks there are: each thread takes every (threads of the grid)-th.
#define GRID_STRIDE(i, n)                                                  \
  for (INDEX i = blockIdx.x * (INDEX)blockDim.x + threadIdx.x; i < (n); \
       i += (INDEX)gridDim.x * blockDim.x)

// Division by a number that is known only when the kernel runs, but is the same for all elements.
// An integer division is some 20 instructions, a multiplication one: a thread that divides often
// prepares this once. With s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1,
//     n / d = (floor(m n / 2^32) + n) >> s    for every 0 <= n < 2^31
// (Granlund & Montgomery 1994, Division by invariant integers using multiplication, sec. 4).
template <class I>
struct Divisor {  // 64-bit positions: plain division
  I d;
  __device__ explicit Divisor(int divisor) : d(divisor) {}
  __device__ I divide(I n) const { return n / d; }
  __device__ I divide(I n, I& rest) const {
    I quotient = n / d;
    rest = n - quotient * d;
    return quotient;
  }
};

template <>
struct Divisor<int> {
  int d;
  unsigned multiplier, shift;
  __device__ explicit Divisor(int divisor) : d(divisor), shift(0) {
    while ((1ull << shift) < (unsigned)d) shift++;
    multiplier = (unsigned)((((1ull << shift) - d) << 32) / d + 1);
  }
  __device__ int divide(int n) const { return (int)((__umulhi((unsigned)n, multiplier) + (unsigned)n) >> shift); }
  __device__ int divide(int n, int& rest) const {
    int quotient = divide(n);
    rest = n - quotient * d;
    return quotient;
  }
};

// The sum over the 32 lanes of a warp, in every lane. The order of additions is fixed.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
  return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
  for (int mask = 16; mask > 0; mask /= 2) {
    T other = __shfl_xor_sync(0xffffffffu, value, mask);
    value = other > value || other != other ? other : value;  // NaN wins, so that it is seen
  }
  return value;
}

// The sum over a block of whole warps, in thread 0. `sums` has 32 places of shared memory, free again
// when the next barrier has been passed.
template <class T>
__device__ __forceinline__ T block_sum(T value, T* sums) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if (lane == 0) sums[warp] = value;
  __syncthreads();
  if (warp == 0) value = warp_sum(lane < warps ? sums[lane] : T(0));
  __syncthreads();
  return value;
}

#define MINUS_INFINITY REAL(__uint_as_float(0xff800000u))
