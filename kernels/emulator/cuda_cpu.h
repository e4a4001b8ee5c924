// The part of CUDA C++ that minicnn's kernels use, for a C++ compiler: with this header in front, a
// .cu file compiles unchanged. Threads are fibers (fibers.h). Shared memory starts as NaN in every
// block. Not here: races between blocks, inline PTX, memory coalescing, speed.
#pragma once
#include <cmath>
#include <type_traits>
#include <utility>

#include "fibers.h"

#define MINICNN_EMULATOR 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuda_shared")))
#define threadIdx (emulator::thread_index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_dim)
#define gridDim (emulator::grid_dim)

struct alignas(16) float4 {
  float x, y, z, w;
};

inline void __syncthreads(int line = __builtin_LINE()) { emulator::wait(emulator::AT_BLOCK_BARRIER, line); }
inline void __syncwarp(unsigned = ~0u, int line = __builtin_LINE()) {
  emulator::wait(emulator::AT_WARP_BARRIER, line);
}

namespace emulator {
// Every lane leaves a value, then reads the one of lane `from`: itself where that is out of the warp.
template <class T>
T exchange(T value, int from, int line) {
  unsigned thread = current->thread, base = thread / WARP * WARP;
  memcpy(mailbox[thread], &value, sizeof(T));
  wait(AT_WARP_BARRIER, line);
  unsigned source = from < 0 || from >= WARP || base + from >= threads ? thread : base + from;
  T result;
  memcpy(&result, mailbox[source], sizeof(T));
  wait(AT_WARP_BARRIER, line);
  return result;
}
inline int lane() { return current->thread % WARP; }
}  // namespace emulator

template <class T>
T __shfl_sync(unsigned, T value, int from, int line = __builtin_LINE()) {
  return emulator::exchange(value, from, line);
}
template <class T>
T __shfl_down_sync(unsigned, T value, int by, int line = __builtin_LINE()) {
  return emulator::exchange(value, emulator::lane() + by, line);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask, int line = __builtin_LINE()) {
  return emulator::exchange(value, emulator::lane() ^ mask, line);
}

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return uint64_t(a) * b >> 32; }
inline unsigned __float_as_uint(float f) {
  unsigned u;
  memcpy(&u, &f, 4);
  return u;
}
inline float __uint_as_float(unsigned u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
using std::abs, std::erf, std::exp, std::expm1, std::log, std::sqrt, std::tanh;
template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}

// ---- tensor cores: the lanes' fragments are put together, multiplied, and handed out again

// To TF32, as cvt.rna.tf32.f32 does it: 10 bits of mantissa, ties away from zero.
inline float emulator_to_tf32(float f) { return __uint_as_float((__float_as_uint(f) + 0x1000u) & ~0x1fffu); }

// mma.m16n8k8, row.col, tf32: which element of A (16x8), B (8x8) and D (16x8) a lane holds is in the
// PTX manual's figures for .tf32 fragments. With g = lane / 4 and t = lane % 4:
//   a0 A[g][t]  a1 A[g+8][t]  a2 A[g][t+4]  a3 A[g+8][t+4]     b0 B[t][g]  b1 B[t+4][g]
//   d0 D[g][2t]  d1 D[g][2t+1]  d2 D[g+8][2t]  d3 D[g+8][2t+1]
// Bits below TF32's precision are dropped, as the hardware does with operands that were not converted.
inline void emulator_mma_m16n8k8(float d[4], const unsigned a[4], const unsigned b[2],
                                 int line = __builtin_LINE()) {
  using namespace emulator;
  unsigned thread = current->thread, base = thread / WARP * WARP;
  unsigned operands[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  memcpy(mailbox[thread], operands, sizeof operands);
  wait(AT_WARP_BARRIER, line);
  auto operand = [&](int lane, int which) {
    unsigned bits[6];
    memcpy(bits, mailbox[base + lane], sizeof bits);
    return __uint_as_float(bits[which] & ~0x1fffu);
  };
  int g = lane() / 4, t = lane() % 4;
  for (int i = 0; i < 4; i++) {
    int row = g + i / 2 * 8, col = 2 * t + i % 2;
    for (int k = 0; k < 8; k++)
      d[i] += operand(row % 8 * 4 + k % 4, row / 8 + k / 4 * 2) * operand(col * 4 + k % 4, 4 + k / 4);
  }
  wait(AT_WARP_BARRIER, line);
}

// ---- launching: what the shared library offers to Python, one pair of functions a kernel

extern "C" char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));

namespace emulator {

inline void poison_shared_memory() {
  if (__start_cuda_shared) memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared);
}

template <class... A, size_t... I>
int launch_with(void (*kernel)(A...), void** arguments, std::index_sequence<I...>, const unsigned* grid,
                const unsigned* block, unsigned how) {
  grid_dim = {grid[0], grid[1], grid[2]};
  block_dim = {block[0], block[1], block[2]};
  threads = block[0] * block[1] * block[2];
  arrange_threads(how);
  auto call = [&] { kernel(*static_cast<A*>(arguments[I])...); };
  body = [](void* f) { (*static_cast<decltype(call)*>(f))(); };
  body_argument = &call;
  unsigned blocks = grid[0] * grid[1] * grid[2];
  unsigned* sequence = static_cast<unsigned*>(malloc(blocks * sizeof(unsigned)));
  arrange(sequence, blocks, how);
  int failed = 0;
  for (unsigned i = 0; i < blocks && !failed; i++) {
    unsigned b = sequence[i];
    block_index = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
    poison_shared_memory();
    failed = run_block();
  }
  free(sequence);
  return failed;
}
template <class... A>
int launch(void (*kernel)(A...), void** arguments, const unsigned* grid, const unsigned* block, unsigned how) {
  return launch_with(kernel, arguments, std::index_sequence_for<A...>{}, grid, block, how);
}

template <class T>
const char* name_of() {
  if (std::is_pointer<T>::value) {
    using Pointed = typename std::remove_pointer<T>::type;
    using Plain = typename std::remove_const<Pointed>::type;
    constexpr bool is_const = std::is_const<Pointed>::value;
#define MINICNN_POINTER(type, name) \
  if (std::is_same<Plain, type>::value) return is_const ? "const " name "*" : name "*"
    MINICNN_POINTER(float, "float32");
    MINICNN_POINTER(double, "float64");
    MINICNN_POINTER(int, "int32");
    MINICNN_POINTER(long long, "int64");
    MINICNN_POINTER(unsigned long long, "uint64");
    MINICNN_POINTER(unsigned char, "uint8");
    MINICNN_POINTER(bool, "bool");
    return "?";
  }
  if (std::is_same<T, float>::value) return "float32";
  if (std::is_same<T, double>::value) return "float64";
  if (std::is_same<T, int>::value) return "int32";
  if (std::is_same<T, long long>::value) return "int64";
  if (std::is_same<T, unsigned long long>::value) return "uint64";
  return "?";
}
// "const float32*,int32,...": what the kernel takes, argument by argument.
template <class... A>
const char* signature(void (*)(A...)) {
  static char text[1024];
  if (!text[0]) (void)std::initializer_list<int>{(strcat(strcat(text, name_of<A>()), ","), 0)...};
  return text;
}

}  // namespace emulator

#define MINICNN_EXPORT(kernel)                                                                              \
  extern "C" int emulator_launch_##kernel(void** a, const unsigned* g, const unsigned* b, unsigned how) {   \
    return emulator::launch(&kernel, a, g, b, how);                                                         \
  }                                                                                                         \
  extern "C" const char* emulator_signature_##kernel() { return emulator::signature(&kernel); }
extern "C" const char* emulator_message() { return emulator::message; }
