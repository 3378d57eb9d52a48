// Vectors of floats with the vector extensions of GCC and Clang, for any instruction set.
#pragma once
#include <cstring>
#include <vector>

#include <torch/extension.h>

using at::Tensor;
// A vector fills one register: compilers generate poor code for wider ones.
#if defined(__AVX512F__)
constexpr int L = 16;  // lanes
#elif defined(__AVX__)
constexpr int L = 8;
#else
constexpr int L = 4;
#endif
typedef float vf __attribute__((vector_size(4 * L), aligned(4)));
typedef int vi __attribute__((vector_size(4 * L), aligned(4)));

static inline vf load(const float* p) { return *reinterpret_cast<const vf*>(p); }
static inline void store(float* p, vf v) { *reinterpret_cast<vf*>(p) = v; }
static inline vf all(float x) { return x - vf{}; }

// exp as 2^n * 2^f with a polynomial for 2^f on [-0.5, 0.5]; relative error below 2e-7.
static inline vf vexp(vf x) {
  x = x > 87.f ? all(87.f) : x;
  x = x < -87.f ? all(-87.f) : x;
  const vf magic = all(12582912.f), t = x * 1.44269504f, rounded = t + magic;
  const vf f = t - (rounded - magic);
  vf p = f * 1.54035304e-4f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.f;
  return (vf)((vi)p + (((vi)rounded - (vi)magic) << 23));
}
static inline vf sigmoid(vf x) { return 1.f / (1.f + vexp(-x)); }
static inline vf tanh_(vf x) { return 2.f * sigmoid(2.f * x) - 1.f; }

// The sum of a vector's values, in four chains: in one chain, each addition waits for the one before.
static inline float total(vf v) {
  float sums[4] = {};
  for (int k = 0; k < L; k++) sums[k % 4] += v[k];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// fetch reads n values as floats, put writes them back with plus added. Compilers vectorise operations on
// bfloat16's bits, but not on its class.
template <typename T>
static inline void fetch(const T* from, int n, float* to) {
  for (int k = 0; k < n; k++) to[k] = float(from[k]);
}
static inline void fetch(const at::BFloat16* from, int n, float* to) {
  for (int k = 0; k < n; k++) to[k] = __builtin_bit_cast(float, uint32_t(from[k].x) << 16);
}
template <typename T>
static inline void put(const float* from, int n, T* to, float plus = 0.f) {
  for (int k = 0; k < n; k++) to[k] = T(from[k] + plus);
}
static inline void put(const float* from, int n, at::BFloat16* to, float plus = 0.f) {
  for (int k = 0; k < n; k++) {
    const float value = from[k] + plus;
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;  // ties to even
    to[k].x = value == value ? nearest : 0x7fc0;
  }
}

// Calls f with a value of x's type: float, bfloat16 or half.
template <typename F>
static void by_type(const Tensor& x, F f) {
  if (x.scalar_type() == at::kBFloat16) f(at::BFloat16());
  else if (x.scalar_type() == at::kHalf) f(at::Half());
  else f(float());
}
