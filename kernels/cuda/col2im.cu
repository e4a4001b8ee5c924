// col2im: the transpose of im2col. Every pixel gathers what the windows that saw it have to say.
//
//     dx[n, c, h, w] = sum over r, s of columns[c, r, s, n, p, q]
//         where p = (h + padding - r*dilation) / stride, if that is a whole number from 0 to P - 1
//
// Threads: one per pixel. Gathering, not scattering: no two threads write to one place, so nothing is
// atomic, and the sums come out the same in every run.
// Memory: reads the columns once (R*S values a pixel at stride 1), writes dx once.
#include "common.cuh"

extern "C" __global__ void col2im(const REAL* __restrict__ columns, REAL* __restrict__ dx, int N, int C,
                                  int H, int W, int P, int Q, int R, int S, int stride_h, int stride_w,
                                  int dilation_h, int dilation_w, int padding_h, int padding_w) {
  Divisor<INDEX> by_W(W), by_H(H), by_C(C);
  GRID_STRIDE(i, (INDEX)N * C * H * W) {
    INDEX w, h, c, n = by_W.divide(i, w);
    n = by_H.divide(n, h);
    n = by_C.divide(n, c);
    REAL sum = 0;
    for (int r = 0; r < R; r++) {
      int above = (int)h + padding_h - r * dilation_h, p = above / stride_h;
      if (above < 0 || above % stride_h != 0 || p >= P) continue;
      for (int s = 0; s < S; s++) {
        int left = (int)w + padding_w - s * dilation_w, q = left / stride_w;
        if (left < 0 || left % stride_w != 0 || q >= Q) continue;
        sum += columns[((((c * R + r) * S + s) * N + n) * P + p) * Q + q];
      }
    }
    dx[i] = sum;
  }
}
