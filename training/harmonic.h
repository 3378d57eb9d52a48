// The harmonic dilated convolution: y[o, f] = b[o] + sum over (shift, c) of w[shift, c, o] * x[c, f + shift].
#pragma once
#include "simd.h"

struct Edges {
  int below, above, bins, padded, width;  // width: a padded row with zeros on both sides
};

static Edges edges(const std::vector<int64_t>& shifts, int bins) {
  int low = 0, high = 0;
  for (auto s : shifts) low = std::min<int>(low, s), high = std::max<int>(high, s);
  const int padded = (bins + L - 1) / L * L;
  return {-low, high, bins, padded, -low + padded + high};
}

template <typename T>
static void fetch(const T* x, size_t plane, int C, const Edges& e, float* rows) {
  for (int c = 0; c < C; c++)
    for (int f = 0; f < e.bins; f++) rows[c * e.width + e.below + f] = float(x[c * plane + f]);
}

// One frame. out [O][padded]; eight outputs by three vectors of bins stay in registers.
static void frame_product(const float* rows, const float* w, const std::vector<int64_t>& shifts, int C, int O,
                          const Edges& e, float* out) {
  for (int f = 0; f < e.padded; f += 3 * L) {
    const int vectors = std::min(3, (e.padded - f) / L);
    for (int o = 0; o < O; o += 8) {
      vf acc[8][3] = {};
      for (size_t h = 0; h < shifts.size(); h++)
        for (int c = 0; c < C; c++) {
          const float* from = rows + c * e.width + e.below + shifts[h] + f;
          const float* weight = w + (h * C + c) * O + o;
          const vf a = load(from), b = vectors > 1 ? load(from + L) : a, d = vectors > 2 ? load(from + 2 * L) : a;
          for (int k = 0; k < 8; k++) acc[k][0] += weight[k] * a, acc[k][1] += weight[k] * b, acc[k][2] += weight[k] * d;
        }
      for (int k = 0; k < 8; k++)
        for (int v = 0; v < vectors; v++) store(out + (o + k) * e.padded + f + v * L, acc[k][v]);
    }
  }
}

template <typename T>
static void harmonic(const Tensor& x, const Tensor& w, const float* bias, const std::vector<int64_t>& shifts,
                     Tensor& y) {
  const int B = x.size(0), C = x.size(1), frames = x.size(2), F = x.size(3), O = y.size(1);
  const Edges e = edges(shifts, F);
  const size_t plane = size_t(frames) * F;
  std::vector<float> rows(size_t(C) * e.width + L), out(size_t(O) * e.padded);
  for (int b = 0; b < B; b++)
    for (int t = 0; t < frames; t++) {
      fetch(x.data_ptr<T>() + b * C * plane + size_t(t) * F, plane, C, e, rows.data());
      frame_product(rows.data(), w.data_ptr<float>(), shifts, C, O, e, out.data());
      T* to = y.data_ptr<T>() + b * O * plane + size_t(t) * F;
      for (int o = 0; o < O; o++)
        for (int f = 0; f < F; f++) to[o * plane + f] = T(out[o * e.padded + f] + (bias ? bias[o] : 0.f));
    }
}

// dw[shift, c, o] = sum over frames and bins of x[c, f + shift] * dy[o, f]; lanes are summed at the end.
template <typename T>
static void harmonic_weights(const Tensor& x, const Tensor& dy, const std::vector<int64_t>& shifts, Tensor& dw) {
  const int B = x.size(0), C = x.size(1), frames = x.size(2), F = x.size(3), O = dy.size(1);
  const Edges e = edges(shifts, F), plain = edges({0}, F);
  const size_t plane = size_t(frames) * F;
  std::vector<float> rows(size_t(C) * e.width + L), grads(size_t(O) * plain.width), sums(dw.numel() * L);
  for (int b = 0; b < B; b++)
    for (int t = 0; t < frames; t++) {
      fetch(x.data_ptr<T>() + b * C * plane + size_t(t) * F, plane, C, e, rows.data());
      fetch(dy.data_ptr<T>() + b * O * plane + size_t(t) * F, plane, O, plain, grads.data());
      for (size_t h = 0; h < shifts.size(); h++)
        for (int c = 0; c < C; c += 4)
          for (int o = 0; o < O; o += 4) {
            vf acc[4][4] = {};
            for (int f = 0; f < e.padded; f += L)
              for (int i = 0; i < 4; i++) {
                const vf a = load(&rows[(c + i) * e.width + e.below + shifts[h] + f]);
                for (int k = 0; k < 4; k++) acc[i][k] += a * load(&grads[(o + k) * plain.width + f]);
              }
            for (int i = 0; i < 4; i++)
              for (int k = 0; k < 4; k++) {
                float* at = &sums[((h * C + c + i) * O + o + k) * L];
                store(at, load(at) + acc[i][k]);
              }
          }
    }
  float* to = dw.data_ptr<float>();
  for (int64_t k = 0; k < dw.numel(); k++) {
    to[k] = 0;
    for (int lane = 0; lane < L; lane++) to[k] += sums[k * L + lane];
  }
}

// x [B, C, T, F], w [shifts, C, O] and bias [O] or none, fp32 -> y [B, O, T, F] in x's type.
Tensor harmonic_forward(Tensor x, Tensor w, std::optional<Tensor> bias, std::vector<int64_t> shifts) {
  TORCH_CHECK(w.size(2) % 8 == 0, "the harmonic kernel needs channels in eights, got ", w.size(2));
  const float* b = bias.has_value() ? bias->data_ptr<float>() : nullptr;
  Tensor y = at::empty({x.size(0), w.size(2), x.size(2), x.size(3)}, x.options());
  by_type(x, [&](auto zero) { harmonic<decltype(zero)>(x, w, b, shifts, y); });
  return y;
}

Tensor harmonic_weight_grad(Tensor x, Tensor dy, std::vector<int64_t> shifts) {
  Tensor dw = at::empty({int64_t(shifts.size()), x.size(1), dy.size(1)}, x.options().dtype(at::kFloat));
  by_type(x, [&](auto zero) { harmonic_weights<decltype(zero)>(x, dy, shifts, dw); });
  return dw;
}
