// Optimizer steps over flat buffers, in place.
//
// Threads: one per number. Memory: SGD with momentum reads value, gradient and velocity and writes two of
// them, 20 bytes a number; Adam 28. Written as single operations, each would read and write memory again.
#include "common.cuh"

// g = gradient + weight_decay value;  v = keep v + rate g;  value -= lr (g + momentum v if nesterov else v).
// keep is 0 at the first step, momentum afterwards; rate is 1, then 1 - dampening. Without velocity: value -= lr g.
extern "C" __global__ void sgd(REAL* __restrict__ value, const REAL* __restrict__ gradient,
                               REAL* __restrict__ velocity, REAL keep, REAL rate, REAL momentum, REAL lr,
                               REAL weight_decay, int nesterov, INDEX size) {
  GRID_STRIDE(i, size) {
    REAL step = gradient[i] + weight_decay * value[i];
    if (velocity) {
      // At the first step the velocity may hold anything: 0 * NaN would stay.
      const REAL v = (keep == 0 ? REAL(0) : keep * velocity[i]) + rate * step;
      velocity[i] = v;
      step = nesterov ? step + momentum * v : v;
    }
    value[i] -= lr * step;
  }
}

// g = gradient + decay value;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
// value = shrink value - lr m / (sqrt(v) / root + eps), with lr already divided by 1 - beta1^t and
// root = sqrt(1 - beta2^t). AdamW: decay = 0, shrink = 1 - lr weight_decay; Adam: shrink = 1.
extern "C" __global__ void adam(REAL* __restrict__ value, const REAL* __restrict__ gradient,
                                REAL* __restrict__ m, REAL* __restrict__ v, REAL beta1, REAL beta2,
                                REAL one_minus_beta1, REAL one_minus_beta2, REAL lr, REAL eps, REAL root,
                                REAL decay, REAL shrink, INDEX size) {
  GRID_STRIDE(i, size) {
    const REAL g = gradient[i] + decay * value[i];
    m[i] = beta1 * m[i] + one_minus_beta1 * g;
    v[i] = beta2 * v[i] + one_minus_beta2 * g * g;
    value[i] = shrink * value[i] - lr * m[i] / (sqrt(v[i]) / root + eps);
  }
}
