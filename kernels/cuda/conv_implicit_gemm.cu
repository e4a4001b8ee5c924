// Convolution, all three passes, as matrix products whose columns are never stored ("implicit GEMM").
//
//     pass          rows M     columns N         summed over K       A                B
//     forward       o          pixels (n,p,q)    taps (c,r,s)        weight           x under the window
//     grad_input    c          pixels (n,h,w)    taps (o,r,s)        weight           dy over the window
//     grad_weight   o          taps (c,r,s)      pixels (n,p,q)      dy               x under the window
//
// Threads: a block computes one BM x BN tile, see gemm_tile.cuh; blockIdx.x counts tiles of columns,
// blockIdx.y tiles of rows, blockIdx.z the groups. Pixels run along a row of the image, so that a warp's
// loads of x are neighbours.
// Memory: x is read once for every tile of rows (M / BM times), mostly from cache, the weights once for
// every tile of columns; y is written once, bias and ReLU applied on the way. No columns, no atomics.
//
// grad_weight sums over all pixels, far more than it has results: blockIdx.z also splits the sum, every
// part goes to a place of its own, and sum_parts (sums.cu) adds them in a fixed order.
//
// With -DTF32 the tiles are multiplied by tensor cores (gemm_tf32.cuh).
#include "common.cuh"
#include "gemm_tile.cuh"

// The geometry of a convolution, channels being those of one group.
struct Geometry {
  int N, C, H, W, O, P, Q, R, S, groups, stride_h, stride_w, dilation_h, dilation_w, padding_h, padding_w;
  __device__ INDEX pixel_of_x(INDEX n, INDEX c, int h, int w) const {
    return ((n * groups * C + c) * H + h) * W + w;
  }
};
#define GEOMETRY_PARAMETERS                                                                              \
  int N, int C, int H, int W, int O, int P, int Q, int R, int S, int groups, int stride_h, int stride_w, \
      int dilation_h, int dilation_w, int padding_h, int padding_w
#define GEOMETRY                                                                                         \
  {                                                                                                      \
    N, C, H, W, O, P, Q, R, S, groups, stride_h, stride_w, dilation_h, dilation_w, padding_h, padding_w \
  }

// x under window position (r, s) of channel c at output pixel (n, p, q): the element of im2col's columns.
struct Columns {
  const REAL* x;  // of this group
  Geometry of;
  Divisor<INDEX> by_Q, by_P, by_S, by_R;
  __device__ Columns(const REAL* x, const Geometry& g) : x(x), of(g), by_Q(g.Q), by_P(g.P), by_S(g.S), by_R(g.R) {}
  __device__ REAL at(INDEX tap, INDEX pixel) const {
    INDEX q, p, n = by_P.divide(by_Q.divide(pixel, q), p);
    INDEX s, r, c = by_R.divide(by_S.divide(tap, s), r);
    int h = (int)p * of.stride_h + (int)r * of.dilation_h - of.padding_h;
    int w = (int)q * of.stride_w + (int)s * of.dilation_w - of.padding_w;
    return h >= 0 && h < of.H && w >= 0 && w < of.W ? x[of.pixel_of_x(n, c, h, w)] : REAL(0);
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    conv_forward(const REAL* __restrict__ x, const REAL* __restrict__ weight, const REAL* __restrict__ bias,
                 REAL* __restrict__ y, int relu, GEOMETRY_PARAMETERS) {
  DECLARE_TILES(as, bs);
  const Geometry of = GEOMETRY;
  const int group = blockIdx.z, taps = C * R * S;
  const INDEX image = (INDEX)P * Q, pixels = N * image;
  const Columns columns(x + (INDEX)group * C * H * W, of);
  const Divisor<INDEX> by_image(P * Q);
  const REAL* w = weight + (INDEX)group * O * taps;
  tiled_product<true, false>(
      (INDEX)blockIdx.y * BM, (INDEX)blockIdx.x * BN, 0, taps,
      [=](INDEX tap, INDEX o) { return o < O ? w[o * taps + tap] : REAL(0); },
      [&](INDEX tap, INDEX pixel) { return pixel < pixels ? columns.at(tap, pixel) : REAL(0); },
      [=](INDEX o, INDEX pixel, REAL value) {
        if (o >= O || pixel >= pixels) return;
        INDEX place, n = by_image.divide(pixel, place), channel = group * O + o;
        if (bias) value += bias[channel];
        y[(n * groups * O + channel) * image + place] = relu && value < 0 ? REAL(0) : value;
      },
      as, bs);
}

// dx[n, c, h, w] = sum over o, r, s of weight[o, c, r, s] dy[n, o, p, q], where (p, q) is the window whose
// position (r, s) lies on (h, w), if there is one.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    conv_grad_input(const REAL* __restrict__ dy, const REAL* __restrict__ weight, REAL* __restrict__ dx,
                    GEOMETRY_PARAMETERS) {
  DECLARE_TILES(as, bs);
  const int group = blockIdx.z, kernel = R * S;
  const INDEX image = (INDEX)H * W, pixels = N * image;
  const Divisor<INDEX> by_image(H * W), by_kernel(kernel), by_S(S), by_W(W), by_H(H);
  const Divisor<INDEX> by_stride_h(stride_h), by_stride_w(stride_w);
  const REAL* w = weight + (INDEX)group * O * C * kernel;
  const REAL* dy_group = dy + (INDEX)group * O * P * Q;
  tiled_product<true, false>(
      (INDEX)blockIdx.y * BM, (INDEX)blockIdx.x * BN, 0, (INDEX)O * kernel,
      [&](INDEX tap, INDEX c) {
        INDEX rs, o = by_kernel.divide(tap, rs);
        return c < C ? w[(o * C + c) * kernel + rs] : REAL(0);
      },
      [&](INDEX tap, INDEX pixel) {
        INDEX rs, s, o = by_kernel.divide(tap, rs), r = by_S.divide(rs, s);
        INDEX column, row, n = by_H.divide(by_W.divide(pixel, column), row), rest_h, rest_w;
        INDEX above = row + padding_h - r * dilation_h, left = column + padding_w - s * dilation_w;
        if (pixel >= pixels || above < 0 || left < 0) return REAL(0);
        INDEX p = by_stride_h.divide(above, rest_h), q = by_stride_w.divide(left, rest_w);
        if (rest_h != 0 || rest_w != 0 || p >= P || q >= Q) return REAL(0);
        return dy_group[((n * groups * O + o) * P + p) * Q + q];
      },
      [=](INDEX c, INDEX pixel, REAL value) {
        if (c >= C || pixel >= pixels) return;
        INDEX place, n = by_image.divide(pixel, place);
        dx[(n * groups * C + group * C + c) * image + place] = value;
      },
      as, bs);
}

// parts[part, o, (c, r, s)] = sum over this part's pixels of dy[n, o, p, q] x under the window.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
    conv_grad_weight(const REAL* __restrict__ x, const REAL* __restrict__ dy, REAL* __restrict__ parts,
                     int pixels_per_part, GEOMETRY_PARAMETERS) {
  DECLARE_TILES(as, bs);
  const Geometry of = GEOMETRY;
  const int group = blockIdx.z % groups, part = blockIdx.z / groups, taps = C * R * S;
  const INDEX image = (INDEX)P * Q, pixels = N * image;
  const Columns columns(x + (INDEX)group * C * H * W, of);
  const Divisor<INDEX> by_image(P * Q);
  const REAL* dy_group = dy + (INDEX)group * O * image;
  REAL* out = parts + ((INDEX)part * groups + group) * O * taps;
  const INDEX begin = (INDEX)part * pixels_per_part;
  tiled_product<true, true>(
      (INDEX)blockIdx.y * BM, (INDEX)blockIdx.x * BN, begin, min(begin + pixels_per_part, pixels),
      [&](INDEX pixel, INDEX o) {
        INDEX place, n = by_image.divide(pixel, place);
        return o < O ? dy_group[(n * groups * O + o) * image + place] : REAL(0);
      },
      [&](INDEX pixel, INDEX tap) { return tap < taps ? columns.at(tap, pixel) : REAL(0); },
      [=](INDEX o, INDEX tap, REAL value) {
        if (o < O && tap < taps) out[o * taps + tap] = value;
      },
      as, bs);
}
