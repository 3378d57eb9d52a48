// Training's two hot spots, one core at a time: the heads' LSTM and the harmonic convolution.
//
// PyTorch spends most of a training step here on memory traffic: an LSTM step over a few hundred
// short rows is too small for its matrix product, and the harmonic convolution first copies its
// input ten times. Both fit into the caches when a few rows (or one frame) are carried through.
// Written with GCC/Clang vector extensions, so any instruction set will do. Nothing here is needed
// to transcribe; training/kernels.py falls back to PyTorch where there is no compiler.
#include <torch/extension.h>

#include <cstring>
#include <vector>

using at::Tensor;
typedef float vf __attribute__((vector_size(64), aligned(4)));
typedef int vi __attribute__((vector_size(64), aligned(4)));
constexpr int L = 16;  // lanes
constexpr int R = 4;   // sequences carried together

static inline vf load(const float* p) { return *reinterpret_cast<const vf*>(p); }
static inline void store(float* p, vf v) { *reinterpret_cast<vf*>(p) = v; }
static inline vf all(float x) { return x - vf{}; }

// exp by 2^n * 2^f with a polynomial for 2^f on [-0.5, 0.5]; relative error below 2e-7.
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

// out[R][V * L] (+)= a[R][K] @ w[K][V * L], tiles of VT vectors kept in registers.
template <int V>
static inline void multiply(const float* a, int K, const float* w, float* out) {
  constexpr int VT = V % 6 == 0 ? 6 : 4;
  static_assert(V % VT == 0, "columns must fill the tiles");
  for (int tile = 0; tile < V; tile += VT) {
    vf acc[R][VT];
    for (int r = 0; r < R; r++)
      for (int v = 0; v < VT; v++) acc[r][v] = load(out + r * V * L + (tile + v) * L);
    for (int k = 0; k < K; k++) {
      const float* row = w + k * V * L + tile * L;
      for (int r = 0; r < R; r++)
        for (int v = 0; v < VT; v++) acc[r][v] += a[r * K + k] * load(row + v * L);
    }
    for (int r = 0; r < R; r++)
      for (int v = 0; v < VT; v++) store(out + r * V * L + (tile + v) * L, acc[r][v]);
  }
}

// The cell of R sequences. gates[R][4U] (i, f, o, g before their functions) become activations;
// cell[R][U] moves on, tc is its tanh, hidden the output.
template <int U>
static inline void activate(float* gates, float* cell, float* tc, float* hidden) {
  constexpr int G = 4 * U;
  for (int r = 0; r < R; r++)
    for (int k = 3 * U; k < G; k++) gates[r * G + k] *= 2.f;  // tanh x = 2 sigmoid 2x - 1
  for (int k = 0; k < R * G; k += L) store(gates + k, sigmoid(load(gates + k)));
  for (int r = 0; r < R; r++)
    for (int k = 3 * U; k < G; k++) gates[r * G + k] = 2.f * gates[r * G + k] - 1.f;
  for (int r = 0; r < R; r++) {
    const float* g = gates + r * G;
    for (int u = 0; u < U; u++) cell[r * U + u] = g[U + u] * cell[r * U + u] + g[u] * g[3 * U + u];
  }
  for (int k = 0; k < R * U; k += L) store(tc + k, tanh_(load(cell + k)));
  for (int r = 0; r < R; r++)
    for (int u = 0; u < U; u++) hidden[r * U + u] = gates[r * G + 2 * U + u] * tc[r * U + u];
}

struct Sizes {
  int S, N, C, H, U, keep;  // keep: the first steps, whose outputs were asked for
};

static inline void begin_gates(float* gates, const float* bias, int G) {
  for (int r = 0; r < R; r++) std::memcpy(gates + r * G, bias, G * sizeof(float));
}

// x [S, N, C], w [H, C + U, 4U], bias [H, 4U] -> hidden, cell [S, H, N, U]; begins at zero.
template <int U>
static void lstm_forward(Sizes z, const float* x, const float* w, const float* bias, bool reverse, float* hidden,
                         float* cells) {
  constexpr int G = 4 * U;
  const int K = z.C + U;
  std::vector<float> a(R * K);
  float gates[R * G], cell[R * U], tc[R * U], h[R * U];
  for (int n = 0; n < z.N; n += R) {
    const int rows = std::min(R, z.N - n);
    for (int head = 0; head < z.H; head++) {
      std::memset(cell, 0, sizeof(cell));
      std::memset(h, 0, sizeof(h));
      std::fill(a.begin(), a.end(), 0.f);
      for (int i = 0; i < z.S; i++) {
        const int s = reverse ? z.S - 1 - i : i;
        for (int r = 0; r < rows; r++) std::memcpy(&a[r * K], x + (size_t(s) * z.N + n + r) * z.C, z.C * 4);
        for (int r = 0; r < R; r++) std::memcpy(&a[r * K + z.C], h + r * U, U * 4);
        begin_gates(gates, bias + head * G, G);
        multiply<G / L>(a.data(), K, w + size_t(head) * K * G, gates);
        activate<U>(gates, cell, tc, h);
        const size_t at = ((size_t(s) * z.H + head) * z.N + n) * U;
        std::memcpy(hidden + at, h, size_t(rows) * U * 4);
        std::memcpy(cells + at, cell, size_t(rows) * U * 4);
      }
    }
  }
}

// Gradients through time. The activations are computed again from the states that were kept: cheaper
// than keeping and fetching them. wt [H, 4U, KP] is w transposed, its rows padded to KP.
template <int U, int KP>
static void lstm_backward(Sizes z, const float* x, const float* w, const float* wt, const float* bias, bool reverse,
                          const float* hidden, const float* cells, const float* grad, float* dx, float* dw, float* db) {
  constexpr int G = 4 * U;
  const int K = z.C + U;
  std::vector<float> a(R * K), da(R * KP), local(size_t(z.S) * R * z.C);
  float gates[R * G], dg[R * G], cell[R * U], before[R * U], tc[R * U], h[R * U], dh[R * U], dc[R * U];
  for (int n = 0; n < z.N; n += R) {
    const int rows = std::min(R, z.N - n);
    std::fill(local.begin(), local.end(), 0.f);
    for (int head = 0; head < z.H; head++) {
      std::memset(dh, 0, sizeof(dh));
      std::memset(dc, 0, sizeof(dc));
      for (int i = z.S - 1; i >= 0; i--) {
        const int s = reverse ? z.S - 1 - i : i, earlier = reverse ? s + 1 : s - 1;
        std::fill(a.begin(), a.end(), 0.f);
        std::memset(before, 0, sizeof(before));
        for (int r = 0; r < rows; r++) {
          const size_t at = ((size_t(earlier) * z.H + head) * z.N + n + r) * U;
          std::memcpy(&a[r * K], x + (size_t(s) * z.N + n + r) * z.C, z.C * 4);
          if (i > 0) std::memcpy(&a[r * K + z.C], hidden + at, U * 4), std::memcpy(before + r * U, cells + at, U * 4);
        }
        begin_gates(gates, bias + head * G, G);
        multiply<G / L>(a.data(), K, w + size_t(head) * K * G, gates);
        std::memcpy(cell, before, sizeof(cell));
        activate<U>(gates, cell, tc, h);
        const size_t from = ((size_t(s) * z.H + head) * z.N + n) * U;
        if (s < z.keep)
          for (int k = 0; k < rows * U; k++) dh[k] += grad[from + k];
        for (int r = 0; r < rows; r++)
          for (int u = 0; u < U; u++) {
            const float* g = gates + r * G;
            float* d = dg + r * G;
            const int k = r * U + u;
            const float gi = g[u], gf = g[U + u], go = g[2 * U + u], gg = g[3 * U + u], dhk = dh[k];
            const float dck = dc[k] + dhk * go * (1 - tc[k] * tc[k]);
            d[u] = dck * gg * gi * (1 - gi);
            d[U + u] = dck * before[k] * gf * (1 - gf);
            d[2 * U + u] = dhk * tc[k] * go * (1 - go);
            d[3 * U + u] = dck * gi * (1 - gg * gg);
            dc[k] = dck * gf;
          }
        for (int r = rows; r < R; r++) std::memset(dg + r * G, 0, G * 4);
        std::fill(da.begin(), da.end(), 0.f);
        multiply<KP / L>(dg, G, wt + size_t(head) * G * KP, da.data());
        for (int r = 0; r < R; r++) {
          for (int c = 0; c < z.C; c++) local[(size_t(s) * R + r) * z.C + c] += da[r * KP + c];
          std::memcpy(dh + r * U, &da[r * KP + z.C], U * 4);
        }
        float* dwh = dw + size_t(head) * K * G;
        for (int v = 0; v < G; v += L) {
          const vf d0 = load(dg + v), d1 = load(dg + G + v), d2 = load(dg + 2 * G + v), d3 = load(dg + 3 * G + v);
          store(db + head * G + v, load(db + head * G + v) + d0 + d1 + d2 + d3);
          for (int k = 0; k < K; k++) {
            float* at = dwh + size_t(k) * G + v;
            store(at, load(at) + a[k] * d0 + a[K + k] * d1 + a[2 * K + k] * d2 + a[3 * K + k] * d3);
          }
        }
      }
    }
    for (int s = 0; s < z.S; s++)
      std::memcpy(dx + (size_t(s) * z.N + n) * z.C, &local[size_t(s) * R * z.C], size_t(rows) * z.C * 4);
  }
}

static Sizes sizes(const Tensor& x, const Tensor& bias, int64_t keep) {
  return {int(x.size(0)), int(x.size(1)), int(x.size(2)), int(bias.size(0)), int(bias.size(1) / 4), int(keep)};
}

std::vector<Tensor> scan_forward(Tensor x, Tensor w, Tensor bias, bool reverse) {
  const Sizes z = sizes(x, bias, x.size(0));
  Tensor hidden = at::empty({z.S, z.H, z.N, z.U}, x.options()), cells = at::empty_like(hidden);
  auto run = [&](auto f) {
    f(z, x.data_ptr<float>(), w.data_ptr<float>(), bias.data_ptr<float>(), reverse, hidden.data_ptr<float>(),
      cells.data_ptr<float>());
  };
  if (z.U == 24) run(lstm_forward<24>);
  else if (z.U == 32) run(lstm_forward<32>);
  else if (z.U == 64) run(lstm_forward<64>);
  else TORCH_CHECK(false, "the LSTM kernel is made for 24, 32 and 64 units, got ", z.U);
  return {hidden, cells};
}

std::vector<Tensor> scan_backward(Tensor x, Tensor w, Tensor bias, bool reverse, Tensor hidden, Tensor cells,
                                  Tensor grad) {
  const Sizes z = sizes(x, bias, grad.size(0));
  const int K = z.C + z.U, KP = (K + 63) / 64 * 64;
  Tensor wt = at::zeros({z.H, 4 * z.U, KP}, x.options());
  wt.narrow(2, 0, K).copy_(w.transpose(1, 2));
  Tensor dx = at::empty_like(x), dw = at::zeros_like(w), db = at::zeros_like(bias);
  auto run = [&](auto f) {
    f(z, x.data_ptr<float>(), w.data_ptr<float>(), wt.data_ptr<float>(), bias.data_ptr<float>(), reverse,
      hidden.data_ptr<float>(), cells.data_ptr<float>(), grad.data_ptr<float>(), dx.data_ptr<float>(),
      dw.data_ptr<float>(), db.data_ptr<float>());
  };
  if (z.U == 24 && KP == 64) run(lstm_backward<24, 64>);
  else if (z.U == 24 && KP == 128) run(lstm_backward<24, 128>);
  else if (z.U == 32 && KP == 64) run(lstm_backward<32, 64>);
  else if (z.U == 32 && KP == 128) run(lstm_backward<32, 128>);
  else if (z.U == 64 && KP == 192) run(lstm_backward<64, 192>);
  else TORCH_CHECK(false, "the LSTM kernel is not made for ", z.C, " features and ", z.U, " units");
  return {dx, dw, db};
}

// ---- harmonic convolution: y[o, f] = sum over (shift, c) of w[shift, c, o] * x[c, f + shift] ----

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
static void harmonic(const Tensor& x, const Tensor& w, const std::vector<int64_t>& shifts, Tensor& y) {
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
        for (int f = 0; f < F; f++) to[o * plane + f] = T(out[o * e.padded + f]);
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

// x [B, C, T, F], w [shifts, C, O] fp32 -> y [B, O, T, F] in x's type (fp32 or bf16).
Tensor harmonic_forward(Tensor x, Tensor w, std::vector<int64_t> shifts) {
  TORCH_CHECK(w.size(2) % 8 == 0, "the harmonic kernel needs channels in eights, got ", w.size(2));
  Tensor y = at::empty({x.size(0), w.size(2), x.size(2), x.size(3)}, x.options());
  if (x.scalar_type() == at::kBFloat16) harmonic<at::BFloat16>(x, w, shifts, y);
  else harmonic<float>(x, w, shifts, y);
  return y;
}

Tensor harmonic_weight_grad(Tensor x, Tensor dy, std::vector<int64_t> shifts) {
  Tensor dw = at::empty({int64_t(shifts.size()), x.size(1), dy.size(1)}, x.options().dtype(at::kFloat));
  if (x.scalar_type() == at::kBFloat16) harmonic_weights<at::BFloat16>(x, dy, shifts, dw);
  else harmonic_weights<float>(x, dy, shifts, dw);
  return dw;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("scan_forward", &scan_forward);
  m.def("scan_backward", &scan_backward);
  m.def("harmonic_forward", &harmonic_forward);
  m.def("harmonic_weight_grad", &harmonic_weight_grad);
}
