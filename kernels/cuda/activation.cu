// Element-wise functions y = f(x), their derivatives, and the bias that goes before a ReLU.
//
// Threads: one per element, or one for several where there are more than the grid has threads.
// Memory: every array once: 8 bytes an element forward, 12 backward, for a handful of flops. These kernels
// run at the speed of memory whatever they compute. So one pair serves all functions (every thread takes
// the same branch), the derivative is computed from x again, and a layer's ReLU is better applied where
// its input is still at hand (conv_forward, batch_norm_forward, bias_relu).
#include "common.cuh"

enum { RELU, LEAKY_RELU, ELU, SIGMOID, TANH, GELU, GELU_TANH };  // as in cuda_calls/activation.py

// exp never overflows: its argument is not positive.
__device__ __forceinline__ REAL sigmoid(REAL x) {
  REAL small = exp(-abs(x));
  return (x >= 0 ? REAL(1) : small) / (1 + small);
}

// The normal distribution function as GELU takes it, and its derivative.
__device__ __forceinline__ REAL phi(int kind, REAL x, REAL& density) {
  if (kind == GELU) {
    density = exp(REAL(-0.5) * x * x) * REAL(0.39894228040143267794);  // 1 / sqrt(2 pi)
    return REAL(0.5) * (1 + erf(x * REAL(0.70710678118654752440)));
  }
  const REAL c = REAL(0.79788456080286535588), cubic = REAL(0.044715);  // c = sqrt(2 / pi)
  REAL t = tanh(c * (x + cubic * x * x * x));
  density = REAL(0.5) * (1 - t * t) * c * (1 + 3 * cubic * x * x);
  return REAL(0.5) * (1 + t);
}

// number: LeakyReLU's slope, ELU's alpha.
__device__ __forceinline__ REAL f(int kind, REAL x, REAL number) {
  REAL density;
  switch (kind) {
    case RELU: return x <= 0 ? REAL(0) : x;  // a NaN stays
    case LEAKY_RELU: return x > 0 ? x : number * x;
    case ELU: return x > 0 ? x : number * expm1(x);
    case SIGMOID: return sigmoid(x);
    case TANH: return tanh(x);
    default: return x * phi(kind, x, density);
  }
}

__device__ __forceinline__ REAL derivative(int kind, REAL x, REAL number) {
  REAL density, y;
  switch (kind) {
    case RELU: return x > 0 ? REAL(1) : REAL(0);
    case LEAKY_RELU: return x > 0 ? REAL(1) : number;
    case ELU: return x > 0 ? REAL(1) : number * exp(x);
    case SIGMOID: y = sigmoid(x); return y * (1 - y);
    case TANH: y = tanh(x); return 1 - y * y;
    default: y = phi(kind, x, density); return y + x * density;
  }
}

extern "C" __global__ void activation_forward(const REAL* __restrict__ x, REAL* __restrict__ y, int kind,
                                              REAL number, INDEX size) {
  GRID_STRIDE(i, size) y[i] = f(kind, x[i], number);
}

// dx = f'(x) dy. For ReLU x may also be y: both are positive in the same places. Where ReLU is off, dx is
// 0 even if dy is infinite.
extern "C" __global__ void activation_backward(const REAL* __restrict__ dy, const REAL* __restrict__ x,
                                               REAL* __restrict__ dx, int kind, REAL number, INDEX size) {
  GRID_STRIDE(i, size) {
    REAL slope = derivative(kind, x[i], number);
    dx[i] = kind == RELU && slope == 0 ? REAL(0) : slope * dy[i];
  }
}

// In place, y[n, m] += bias[m], then ReLU if wanted: what follows a fully connected layer's product.
extern "C" __global__ void bias_relu(REAL* __restrict__ y, const REAL* __restrict__ bias, int M, int relu,
                                     INDEX size) {
  const Divisor<INDEX> by_M(M);
  GRID_STRIDE(i, size) {
    INDEX m;
    by_M.divide(i, m);
    REAL value = bias ? y[i] + bias[m] : y[i];
    y[i] = relu && value < 0 ? REAL(0) : value;
  }
}

// y[n, o, pixel] = product[o, n, pixel] + bias[o], then ReLU if wanted: im2col's product, put in order.
// Neighbouring threads write neighbours and, within an image, read neighbours.
extern "C" __global__ void channels_second(const REAL* __restrict__ product, const REAL* __restrict__ bias,
                                           REAL* __restrict__ y, int N, int O, int image, int relu) {
  const Divisor<INDEX> by_image(image), by_O(O);
  GRID_STRIDE(i, (INDEX)N * O * image) {
    INDEX place, o, n = by_O.divide(by_image.divide(i, place), o);
    REAL value = product[(o * N + n) * image + place] + (bias ? bias[o] : REAL(0));
    y[i] = relu && value < 0 ? REAL(0) : value;
  }
}

// The way back: out[o, n, pixel] = dy[n, o, pixel].
extern "C" __global__ void channels_first(const REAL* __restrict__ dy, REAL* __restrict__ out, int N, int O,
                                          int image) {
  const Divisor<INDEX> by_image(image), by_N(N);
  GRID_STRIDE(i, (INDEX)N * O * image) {
    INDEX place, n, o = by_N.divide(by_image.divide(i, place), n);
    out[i] = dy[(n * O + o) * image + place];
  }
}
