// Normalisation over frequency, and pooling of bins to keys, in fewer passes over memory than PyTorch.
#pragma once
#include "simd.h"

struct Moments {
  float mean, scale;  // scale: 1 / standard deviation
};

static inline Moments moments(const float* row, int F, int padded) {
  vf sum = {}, squares = {};
  for (int f = 0; f < padded; f += L) sum += load(row + f);
  const float mean = total(sum) / F;
  for (int f = 0; f < padded; f += L) {
    const vf apart = load(row + f) - mean;
    squares += apart * apart;
  }
  const float variance = (total(squares) - (padded - F) * mean * mean) / F;
  return {mean, 1.f / std::sqrt(variance + 1e-3f)};
}

// x [B, C, T, F], weight and bias [C] -> y: relu(normal * weight + bias), or without relu, plus passing.
template <typename T>
static void norm(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu, const T* passing, Tensor& y) {
  const int C = x.size(1), frames = x.size(2), F = x.size(3), padded = (F + L - 1) / L * L;
  const float *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
  const T* from = x.data_ptr<T>();
  T* to = y.data_ptr<T>();
  std::vector<float> row(padded, 0.f), by(F), out(F);
  for (int64_t n = 0; n < x.numel() / F; n++) {
    const int c = n / frames % C;
    fetch(from + n * F, F, row.data());
    const Moments m = moments(row.data(), F, padded);
    const float scale = m.scale * w[c], shift = b[c] - m.mean * scale;
    if (passing) fetch(passing + n * F, F, by.data());
    for (int f = 0; f < F; f++) out[f] = row[f] * scale + shift;
    if (relu)
      for (int f = 0; f < F; f++) out[f] = std::max(0.f, out[f]);
    else if (passing)
      for (int f = 0; f < F; f++) out[f] += by[f];
    put(out.data(), F, to + n * F);
  }
}

template <typename T>
static void norm_back(const Tensor& x, const Tensor& weight, const Tensor& bias, bool relu, const Tensor& grad,
                      Tensor& dx, Tensor& dw, Tensor& db) {
  const int C = x.size(1), frames = x.size(2), F = x.size(3), padded = (F + L - 1) / L * L;
  const float *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
  const T *from = x.data_ptr<T>(), *of = grad.data_ptr<T>();
  T* to = dx.data_ptr<T>();
  float *weights = dw.data_ptr<float>(), *biases = db.data_ptr<float>();
  std::vector<float> row(padded, 0.f), g(padded, 0.f);
  for (int64_t n = 0; n < x.numel() / F; n++) {
    const int c = n / frames % C;
    fetch(from + n * F, F, row.data());
    fetch(of + n * F, F, g.data());
    const Moments m = moments(row.data(), F, padded);
    vf sum = {}, product = {};
    for (int f = 0; f < padded; f += L) {  // beyond F the gradient is 0
      const vf normal = (load(&row[f]) - m.mean) * m.scale;
      vf own = load(&g[f]);
      if (relu) own = normal * w[c] + b[c] > 0.f ? own : vf{};
      store(&row[f], normal);
      store(&g[f], own);
      sum += own;
      product += own * normal;
    }
    const float s = total(sum), p = total(product), scale = m.scale * w[c];
    biases[c] += s;
    weights[c] += p;
    for (int f = 0; f < F; f++) g[f] = scale * (g[f] - s / F - row[f] * (p / F));
    put(g.data(), F, to + n * F);
    std::fill(g.begin() + F, g.end(), 0.f);
    std::fill(row.begin() + F, row.end(), 0.f);
  }
}

Tensor norm_forward(Tensor x, Tensor weight, Tensor bias, bool relu, std::optional<Tensor> passing) {
  Tensor y = at::empty_like(x);
  by_type(x, [&](auto zero) {
    using T = decltype(zero);
    norm<T>(x, weight, bias, relu, passing ? passing->data_ptr<T>() : nullptr, y);
  });
  return y;
}

std::vector<Tensor> norm_backward(Tensor x, Tensor weight, Tensor bias, bool relu, Tensor grad) {
  Tensor dx = at::empty_like(x), dw = at::zeros_like(weight), db = at::zeros_like(bias);
  by_type(x, [&](auto zero) { norm_back<decltype(zero)>(x, weight, bias, relu, grad, dx, dw, db); });
  return {dx, dw, db};
}

// x [..., F] -> relu of the maximum of each four bins [..., F / 4], and its index (4: none is above 0).
template <typename T>
static void pool(const Tensor& x, Tensor& y, Tensor& which) {
  const int F = x.size(-1);
  const T* from = x.data_ptr<T>();
  T* to = y.data_ptr<T>();
  uint8_t* at = which.data_ptr<uint8_t>();
  std::vector<float> row(F);
  for (int64_t n = 0; n < x.numel() / F; n++, from += F, to += F / 4, at += F / 4) {
    fetch(from, F, row.data());
    for (int k = 0; k < F / 4; k++) {
      const float a = row[4 * k], b = row[4 * k + 1], c = row[4 * k + 2], d = row[4 * k + 3];
      const float left = std::max(a, b), right = std::max(c, d), best = std::max(left, right);
      const int found = left >= right ? (a >= b ? 0 : 1) : (c >= d ? 2 : 3);
      to[k] = T(std::max(best, 0.f));
      at[k] = best > 0.f ? found : 4;
    }
  }
}

template <typename T>
static void pool_back(const Tensor& grad, const Tensor& which, Tensor& dx) {
  const T* from = grad.data_ptr<T>();
  const uint8_t* at = which.data_ptr<uint8_t>();
  T* to = dx.data_ptr<T>();
  std::memset(to, 0, dx.numel() * sizeof(T));  // all bits 0 is 0 in every type
  for (int64_t n = 0; n < grad.numel(); n++)
    if (at[n] < 4) to[4 * n + at[n]] = from[n];
}

std::vector<Tensor> pool_forward(Tensor x) {
  auto sizes = x.sizes().vec();
  sizes.back() /= 4;
  Tensor y = at::empty(sizes, x.options()), which = at::empty(sizes, x.options().dtype(at::kByte));
  by_type(x, [&](auto zero) { pool<decltype(zero)>(x, y, which); });
  return {y, which};
}

Tensor pool_backward(Tensor grad, Tensor which) {
  auto sizes = grad.sizes().vec();
  sizes.back() *= 4;
  Tensor dx = at::empty(sizes, grad.options());
  by_type(grad, [&](auto zero) { pool_back<decltype(zero)>(grad, which, dx); });
  return dx;
}
