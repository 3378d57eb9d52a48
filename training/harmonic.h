// The harmonic dilated convolution: y[o, f] = b[o] + sum over (shift, c) of w[shift, c, o] * x[c, f + shift].
#pragma once
#include "simd.h"

#ifdef __AVX512F__
constexpr int OT = 8, FV = 2;  // a product's tile in registers: outputs, and vectors of bins
constexpr int CT = 8, OV = 2;  // a tile of the weights' gradient: inputs, and vectors of outputs
#else
constexpr int OT = 4, FV = 2;  // only 16 registers
constexpr int CT = 4, OV = 2;
#endif

struct Edges {
  int below, above, bins, padded, width;  // width: a padded row with zeros on both sides
};

static Edges edges(const std::vector<int64_t>& shifts, int bins) {
  int low = 0, high = 0;
  for (auto s : shifts) low = std::min<int>(low, s), high = std::max<int>(high, s);
  const int padded = (bins + L - 1) / L * L;
  return {-low, high, bins, padded, -low + padded + high};
}

// Copies one frame x [C][F] of planes into rows with zeros on both sides.
template <typename T>
static void fetch_frame(const T* x, size_t plane, int C, const Edges& e, float* rows) {
  for (int c = 0; c < C; c++) fetch(x + c * plane, e.bins, rows + c * e.width + e.below);
}

// Convolves one frame into out [O][padded], a tile of OT outputs by FV vectors of bins at a time.
static void frame_product(const float* rows, const float* w, const std::vector<int64_t>& shifts, int C, int O,
                          const Edges& e, float* out) {
  for (int f = 0; f < e.padded; f += FV * L) {
    const int vectors = std::min(FV, (e.padded - f) / L);
    for (int o = 0; o < O; o += OT) {
      vf acc[OT][FV] = {};
      for (size_t h = 0; h < shifts.size(); h++) {
        if (f + shifts[h] >= e.bins || f + FV * L + shifts[h] <= 0) continue;  // only zeros
        for (int c = 0; c < C; c++) {
          const float* from = rows + c * e.width + e.below + shifts[h] + f;
          const float* weight = w + (h * C + c) * O + o;
          vf bins[FV];
          for (int v = 0; v < FV; v++) bins[v] = load(v < vectors ? from + v * L : from);
          for (int k = 0; k < OT; k++)
            for (int v = 0; v < FV; v++) acc[k][v] += weight[k] * bins[v];
        }
      }
      for (int k = 0; k < OT; k++)
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
      fetch_frame(x.data_ptr<T>() + b * C * plane + size_t(t) * F, plane, C, e, rows.data());
      frame_product(rows.data(), w.data_ptr<float>(), shifts, C, O, e, out.data());
      T* to = y.data_ptr<T>() + b * O * plane + size_t(t) * F;
      for (int o = 0; o < O; o++) put(&out[o * e.padded], F, to + o * plane, bias ? bias[o] : 0.f);
    }
}

// dw[shift, c, o] = sum over frames and bins of x[c, f + shift] * dy[o, f]; db[o] = the sum of dy[o, f].
// The outputs of a bin lie side by side, so that whole vectors are accumulated without horizontal sums.
template <typename T>
static void harmonic_weights(const Tensor& x, const Tensor& dy, const std::vector<int64_t>& shifts, Tensor& dw,
                             Tensor& db) {
  const int B = x.size(0), C = x.size(1), frames = x.size(2), F = x.size(3), O = dy.size(1);
  const int width = (O + OV * L - 1) / (OV * L) * (OV * L);  // outputs, padded with zeros
  const Edges e = edges(shifts, F);
  const size_t plane = size_t(frames) * F;
  std::vector<float> rows(size_t(C) * e.width + L), own(size_t(O) * F), grads(size_t(F) * width);
  std::vector<float> sums(shifts.size() * C * width), biases(width);
  for (int b = 0; b < B; b++)
    for (int t = 0; t < frames; t++) {
      fetch_frame(x.data_ptr<T>() + b * C * plane + size_t(t) * F, plane, C, e, rows.data());
      const T* from = dy.data_ptr<T>() + b * O * plane + size_t(t) * F;
      for (int o = 0; o < O; o++) fetch(from + o * plane, F, &own[o * F]);
      for (int f = 0; f < F; f++)
        for (int o = 0; o < O; o++) grads[size_t(f) * width + o] = own[o * F + f];
      for (int o = 0; o < width; o += L) {
        vf sum = {};
        for (int f = 0; f < F; f++) sum += load(&grads[size_t(f) * width + o]);
        store(&biases[o], load(&biases[o]) + sum);
      }
      for (size_t h = 0; h < shifts.size(); h++) {
        const int first = std::max<int>(0, -shifts[h]), last = std::min<int>(F, F - shifts[h]);  // no zeros
        for (int c = 0; c < C; c += CT)
          for (int o = 0; o < width; o += OV * L) {
            const float* bins = &rows[c * e.width + e.below + shifts[h]];
            vf acc[CT][OV] = {};
            for (int f = first; f < last; f++)
              for (int i = 0; i < CT; i++)
                for (int v = 0; v < OV; v++)
                  acc[i][v] += bins[i * e.width + f] * load(&grads[size_t(f) * width + o + v * L]);
            for (int i = 0; i < CT; i++)
              for (int v = 0; v < OV; v++) {
                float* at = &sums[(h * C + c + i) * width + o + v * L];
                store(at, load(at) + acc[i][v]);
              }
          }
      }
    }
  float* to = dw.data_ptr<float>();
  for (size_t row = 0; row < shifts.size() * C; row++)
    std::memcpy(to + row * O, &sums[row * width], O * sizeof(float));
  std::memcpy(db.data_ptr<float>(), biases.data(), O * sizeof(float));
}

// x [B, C, T, F], w [shifts, C, O] and bias [O] or none, fp32 -> y [B, O, T, F] in x's type.
Tensor harmonic_forward(Tensor x, Tensor w, std::optional<Tensor> bias, std::vector<int64_t> shifts) {
  TORCH_CHECK(w.size(2) % 8 == 0, "the harmonic kernel needs channels in eights, got ", w.size(2));
  const float* b = bias.has_value() ? bias->data_ptr<float>() : nullptr;
  Tensor y = at::empty({x.size(0), w.size(2), x.size(2), x.size(3)}, x.options());
  by_type(x, [&](auto zero) { harmonic<decltype(zero)>(x, w, b, shifts, y); });
  return y;
}

std::vector<Tensor> harmonic_weight_grad(Tensor x, Tensor dy, std::vector<int64_t> shifts) {
  Tensor dw = at::empty({int64_t(shifts.size()), x.size(1), dy.size(1)}, x.options().dtype(at::kFloat));
  Tensor db = at::empty({dy.size(1)}, dw.options());
  by_type(x, [&](auto zero) { harmonic_weights<decltype(zero)>(x, dy, shifts, dw, db); });
  return {dw, db};
}
