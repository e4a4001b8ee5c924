// Batch normalisation, forward and backward, in training and in evaluation.
//
//     x^ = (x - mean) inverse_std,   y = weight x^ + bias,   inverse_std = 1 / sqrt(var + eps)
//
// x is (N, C, image): channel c's values lie in N runs of `image` neighbours. Sums over them are made in
// parts: a block for a channel (blockIdx.y) and a share of its values (blockIdx.x), so that a network with
// few channels fills the GPU too; a second, tiny kernel puts the parts together in a fixed order.
// Memory: training reads x twice forward (statistics, then the result) and writes y; backward reads x and
// dy twice and writes dx. In evaluation each is touched once.
#include "common.cuh"

// Mean and M2 = sum of squared deviations from it, value by value: Welford 1962. Never E[x^2] - E[x]^2,
// which loses all digits where the mean is large beside the deviation.
struct Moments {
  REAL count, mean, m2;
  __device__ void add(REAL value) {
    count += 1;
    REAL delta = value - mean;
    mean += delta / count;
    m2 += delta * (value - mean);
  }
  // Two sets become one: Chan, Golub & LeVeque 1979.
  __device__ void add(const Moments& other) {
    REAL total = count + other.count, delta = other.mean - mean;
    if (other.count == 0) return;
    mean += delta * (other.count / total);
    m2 += other.m2 + delta * delta * (count * other.count / total);
    count = total;
  }
};

__device__ __forceinline__ Moments from_lane(const Moments& moments, int away) {
  return {__shfl_down_sync(0xffffffffu, moments.count, away), __shfl_down_sync(0xffffffffu, moments.mean, away),
          __shfl_down_sync(0xffffffffu, moments.m2, away)};
}

// parts (3, parts, C): count, mean and M2 of each share.
extern "C" __global__ void batch_norm_statistics(const REAL* __restrict__ x, REAL* __restrict__ parts, int N,
                                                 int C, int image) {
  __shared__ REAL counts[32], means[32], m2s[32];
  const int c = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const Divisor<INDEX> by_image(image);
  Moments moments = {0, 0, 0};
  GRID_STRIDE(i, (INDEX)N * image) {
    INDEX place, n = by_image.divide(i, place);
    moments.add(x[(n * C + c) * image + place]);
  }
  for (int away = 16; away > 0; away /= 2) moments.add(from_lane(moments, away));
  if (lane == 0) counts[warp] = moments.count, means[warp] = moments.mean, m2s[warp] = moments.m2;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int other = 1; other < warps; other++) moments.add({counts[other], means[other], m2s[other]});
    const INDEX here = (INDEX)blockIdx.x * C + c, size = (INDEX)gridDim.x * C;
    parts[here] = moments.count;
    parts[size + here] = moments.mean;
    parts[2 * size + here] = moments.m2;
  }
}

// One thread a channel: the parts become the batch's mean, biased variance and inverse_std.
extern "C" __global__ void batch_norm_combine(const REAL* __restrict__ parts, REAL* __restrict__ mean,
                                              REAL* __restrict__ var, REAL* __restrict__ inverse_std, int count,
                                              int C, REAL eps) {
  GRID_STRIDE(c, C) {
    const INDEX size = (INDEX)count * C;
    Moments moments = {0, 0, 0};
    for (int part = 0; part < count; part++) {
      const INDEX here = (INDEX)part * C + c;
      moments.add({parts[here], parts[size + here], parts[2 * size + here]});
    }
    mean[c] = moments.mean;
    var[c] = moments.m2 / moments.count;
    inverse_std[c] = 1 / sqrt(var[c] + eps);
  }
}

extern "C" __global__ void batch_norm_inverse_std(const REAL* __restrict__ var, REAL* __restrict__ inverse_std,
                                                  int C, REAL eps) {
  GRID_STRIDE(c, C) inverse_std[c] = 1 / sqrt(var[c] + eps);
}

// y = weight x^ + bias, plus the shortcut if there is one, then ReLU if wanted. A thread an element.
extern "C" __global__ void batch_norm_forward(const REAL* __restrict__ x, const REAL* __restrict__ mean,
                                              const REAL* __restrict__ inverse_std,
                                              const REAL* __restrict__ weight, const REAL* __restrict__ bias,
                                              const REAL* __restrict__ shortcut, REAL* __restrict__ y, int N,
                                              int C, int image, int relu) {
  const Divisor<INDEX> by_image(image), by_C(C);
  GRID_STRIDE(i, (INDEX)N * C * image) {
    INDEX c;
    by_C.divide(by_image.divide(i), c);
    REAL value = (x[i] - mean[c]) * inverse_std[c];
    if (weight) value *= weight[c];
    if (bias) value += bias[c];
    if (shortcut) value += shortcut[i];
    y[i] = relu && value < 0 ? REAL(0) : value;
  }
}

// parts (2, parts, C): the shares' sums of dy and of dy x^, which become dbias and dweight. With y given, a
// ReLU followed: dy counts only where y > 0.
extern "C" __global__ void batch_norm_gradient_sums(const REAL* __restrict__ dy, const REAL* __restrict__ x,
                                                    const REAL* __restrict__ y, const REAL* __restrict__ mean,
                                                    const REAL* __restrict__ inverse_std,
                                                    REAL* __restrict__ parts, int N, int C, int image) {
  __shared__ REAL sums[32];
  const int c = blockIdx.y;
  const Divisor<INDEX> by_image(image);
  const REAL center = mean[c], scale = inverse_std[c];
  REAL plain = 0, weighted = 0;
  GRID_STRIDE(i, (INDEX)N * image) {
    INDEX place, n = by_image.divide(i, place), here = (n * C + c) * image + place;
    REAL gradient = y && !(y[here] > 0) ? REAL(0) : dy[here];
    plain += gradient;
    weighted += gradient * (x[here] - center) * scale;
  }
  plain = block_sum(plain, sums);
  weighted = block_sum(weighted, sums);
  if (threadIdx.x == 0) {
    parts[(INDEX)blockIdx.x * 2 * C + c] = plain;
    parts[(INDEX)blockIdx.x * 2 * C + C + c] = weighted;
  }
}

// With M = N image values a channel, in training
//     dx = weight inverse_std (dy - (dbias + x^ dweight) / M)
// and in evaluation, where the statistics are constants, dx = weight inverse_std dy. `dshortcut` is what
// the shortcut gets: dy past the ReLU.
extern "C" __global__ void batch_norm_backward(const REAL* __restrict__ dy, const REAL* __restrict__ x,
                                               const REAL* __restrict__ y, const REAL* __restrict__ mean,
                                               const REAL* __restrict__ inverse_std,
                                               const REAL* __restrict__ weight, const REAL* __restrict__ sums,
                                               REAL* __restrict__ dx, REAL* __restrict__ dshortcut, int N, int C,
                                               int image, int constants) {
  const Divisor<INDEX> by_image(image), by_C(C);
  const REAL share = REAL(1) / ((REAL)N * image);
  GRID_STRIDE(i, (INDEX)N * C * image) {
    INDEX c;
    by_C.divide(by_image.divide(i), c);
    REAL gradient = y && !(y[i] > 0) ? REAL(0) : dy[i];
    if (dshortcut) dshortcut[i] = gradient;
    if (!constants) gradient -= (sums[c] + (x[i] - mean[c]) * inverse_std[c] * sums[C + c]) * share;
    dx[i] = gradient * inverse_std[c] * (weight ? weight[c] : REAL(1));
  }
}
