// Max pooling, forward and backward.
//
//     y[n, c, p, q] = max over r, s of x[n, c, p*stride + r*dilation - padding, q*... + s*...]
//
// The first of equal values wins, and a NaN wins over all, as in the definition. `won` remembers which
// place r*S + s it was.
// Threads: one per output forward, one per input pixel backward. Backward gathers: a pixel asks every
// window that saw it whether it won there. No atomics, the same sums in every run.
// Memory: forward reads x once (from cache where windows overlap), writes y and 4 bytes of `won` for each;
// backward reads dy and won once, writes dx once.
#include "common.cuh"

extern "C" __global__ void max_pool_forward(const REAL* __restrict__ x, REAL* __restrict__ y,
                                            int* __restrict__ won, int planes, int H, int W, int P, int Q,
                                            int R, int S, int stride_h, int stride_w, int dilation_h,
                                            int dilation_w, int padding_h, int padding_w) {
  Divisor<INDEX> by_Q(Q), by_P(P);
  GRID_STRIDE(i, (INDEX)planes * P * Q) {
    INDEX q, p, plane = by_P.divide(by_Q.divide(i, q), p);
    const REAL* image = x + plane * H * W;
    REAL best = MINUS_INFINITY;
    int place = 0;
    for (int r = 0; r < R; r++) {
      int h = (int)p * stride_h + r * dilation_h - padding_h;
      if (h < 0 || h >= H) continue;
      for (int s = 0; s < S; s++) {
        int w = (int)q * stride_w + s * dilation_w - padding_w;
        if (w < 0 || w >= W) continue;
        REAL value = image[h * W + w];
        if (value > best || value != value) best = value, place = r * S + s;
      }
    }
    y[i] = best;
    won[i] = place;
  }
}

extern "C" __global__ void max_pool_backward(const REAL* __restrict__ dy, const int* __restrict__ won,
                                             REAL* __restrict__ dx, int planes, int H, int W, int P, int Q,
                                             int R, int S, int stride_h, int stride_w, int dilation_h,
                                             int dilation_w, int padding_h, int padding_w) {
  Divisor<INDEX> by_W(W), by_H(H);
  GRID_STRIDE(i, (INDEX)planes * H * W) {
    INDEX w, h, plane = by_H.divide(by_W.divide(i, w), h);
    REAL sum = 0;
    for (int r = 0; r < R; r++) {
      int above = (int)h + padding_h - r * dilation_h, p = above / stride_h;
      if (above < 0 || above % stride_h != 0 || p >= P) continue;
      for (int s = 0; s < S; s++) {
        int left = (int)w + padding_w - s * dilation_w, q = left / stride_w;
        if (left < 0 || left % stride_w != 0 || q >= Q) continue;
        INDEX output = (plane * P + p) * Q + q;
        if (won[output] == r * S + s) sum += dy[output];
      }
    }
    dx[i] = sum;
  }
}
