// Average pooling, forward and backward.
//
//     y[n, c, p, q] = share[p, q] * sum over the window of x,    dx[n, c, h, w] = sum of share[p, q] dy[n, c, p, q]
//
// over the windows that saw (h, w). share is 1 / how many values an output averages, which depends on the
// border and on what the caller counts.
// Threads: one per output forward, one per input pixel backward, which gathers: no atomics.
// Memory: x (dy) and y (dx) once; share stays in cache.
#include "common.cuh"

extern "C" __global__ void avg_pool_forward(const REAL* __restrict__ x, const REAL* __restrict__ share,
                                            REAL* __restrict__ y, int planes, int H, int W, int P, int Q, int R,
                                            int S, int stride_h, int stride_w, int padding_h, int padding_w) {
  Divisor<INDEX> by_Q(Q), by_P(P);
  GRID_STRIDE(i, (INDEX)planes * P * Q) {
    INDEX q, p, plane = by_P.divide(by_Q.divide(i, q), p);
    const REAL* image = x + plane * H * W;
    int top = (int)p * stride_h - padding_h, left = (int)q * stride_w - padding_w;
    REAL sum = 0;
    for (int h = max(top, 0); h < min(top + R, H); h++)
      for (int w = max(left, 0); w < min(left + S, W); w++) sum += image[h * W + w];
    y[i] = sum * share[p * Q + q];
  }
}

extern "C" __global__ void avg_pool_backward(const REAL* __restrict__ dy, const REAL* __restrict__ share,
                                             REAL* __restrict__ dx, int planes, int H, int W, int P, int Q, int R,
                                             int S, int stride_h, int stride_w, int padding_h, int padding_w) {
  Divisor<INDEX> by_W(W), by_H(H);
  GRID_STRIDE(i, (INDEX)planes * H * W) {
    INDEX w, h, plane = by_H.divide(by_W.divide(i, w), h);
    // Windows p with p*stride <= h + padding < p*stride + R.
    int below = (int)h + padding_h, right = (int)w + padding_w;
    int first_p = below < R ? 0 : (below - R) / stride_h + 1, first_q = right < S ? 0 : (right - S) / stride_w + 1;
    REAL sum = 0;
    for (int p = first_p; p <= min(below / stride_h, P - 1); p++)
      for (int q = first_q; q <= min(right / stride_w, Q - 1); q++)
        sum += dy[(plane * P + p) * Q + q] * share[p * Q + q];
    dx[i] = sum;
  }
}
