// im2col: every window of an image laid out as a column, so that convolution becomes a matrix product.
//
//     columns[c, r, s, n, p, q] = x[n, c, p*stride + r*dilation - padding, q*... + s*...], 0 outside
//
// Threads: one per element of columns, q fastest: neighbouring threads write neighbouring addresses, and
// read neighbouring ones where the stride is 1.
// Memory: writes N*C*P*Q*R*S values, and reads about as many (each pixel R*S times, mostly from cache).
// That is the price of this algorithm: for O output channels, O/4 flops per byte.
#include "common.cuh"

extern "C" __global__ void im2col(const REAL* __restrict__ x, REAL* __restrict__ columns, int N, int C,
                                  int H, int W, int P, int Q, int R, int S, int stride_h, int stride_w,
                                  int dilation_h, int dilation_w, int padding_h, int padding_w) {
  Divisor<INDEX> by_Q(Q), by_P(P), by_N(N), by_S(S), by_R(R);
  GRID_STRIDE(i, (INDEX)C * R * S * N * P * Q) {
    INDEX q, p, n, s, r, c = by_Q.divide(i, q);
    c = by_P.divide(c, p);
    c = by_N.divide(c, n);
    c = by_S.divide(c, s);
    c = by_R.divide(c, r);
    int h = (int)p * stride_h + (int)r * dilation_h - padding_h;
    int w = (int)q * stride_w + (int)s * dilation_w - padding_w;
    bool inside = h >= 0 && h < H && w >= 0 && w < W;
    columns[i] = inside ? x[((n * C + c) * H + h) * W + w] : REAL(0);
  }
}
