// Softmax and cross entropy in one: -log p[label] with p = softmax(logits), and its gradient p - onehot.
//
// Threads: a warp a row. Its lanes walk over the row's K scores side by side, and agree on the maximum and
// on the sum by shuffles: no shared memory, no barrier.
// Memory: forward reads the scores (three times, twice from cache), writes p; backward reads p, writes dlogits.
#include "common.cuh"

// losses[n] and probs[n, k]. A label that is no class makes its row NaN, loss and gradient: a kernel
// cannot raise, and a loss of NaN is seen.
extern "C" __global__ void cross_entropy_forward(const REAL* __restrict__ logits,
                                                 const long long* __restrict__ labels,
                                                 REAL* __restrict__ losses, REAL* __restrict__ probs, int N,
                                                 int K) {
  const int lane = threadIdx.x % 32, warps = gridDim.x * (blockDim.x / 32);
  for (INDEX n = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; n < N; n += warps) {
    const REAL* row = logits + n * K;
    const bool known = labels[n] >= 0 && labels[n] < K;
    REAL highest = MINUS_INFINITY, sum = 0;
    for (int k = lane; k < K; k += 32) highest = row[k] > highest || row[k] != row[k] ? row[k] : highest;
    highest = warp_max(highest);
    for (int k = lane; k < K; k += 32) sum += exp(row[k] - highest);  // at most 1 each: no overflow
    sum = warp_sum(sum);
    const REAL factor = known ? 1 / sum : REAL(__uint_as_float(0x7fc00000u));
    for (int k = lane; k < K; k += 32) probs[n * K + k] = exp(row[k] - highest) * factor;
    if (lane == 0) losses[n] = known ? log(sum) + highest - row[labels[n]] : factor;
  }
}

// total[0] = scale * sum of losses, by one block: always in the same order.
extern "C" __global__ void cross_entropy_total(const REAL* __restrict__ losses, REAL* __restrict__ total, int N,
                                               REAL scale) {
  __shared__ REAL sums[32];
  REAL sum = 0;
  for (int n = threadIdx.x; n < N; n += blockDim.x) sum += losses[n];
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) total[0] = scale * sum;
}

// dlogits[n, k] = dy scale (p[n, k] - [k = label]).
extern "C" __global__ void cross_entropy_backward(const REAL* __restrict__ probs,
                                                  const long long* __restrict__ labels,
                                                  const REAL* __restrict__ dy, REAL* __restrict__ dlogits, int N,
                                                  int K, REAL scale) {
  const Divisor<INDEX> by_K(K);
  const REAL factor = dy[0] * scale;
  GRID_STRIDE(i, (INDEX)N * K) {
    INDEX k, n = by_K.divide(i, k);
    dlogits[i] = factor * (probs[i] - (k == labels[n] ? REAL(1) : REAL(0)));
  }
}
