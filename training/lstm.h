// The heads' LSTM, one sequence per key, with its output weights; runs a few sequences at a time.
#pragma once
#include "simd.h"

// A product's tile of R rows by TILE vectors fits into registers, even AVX2's 16, and keeps multipliers busy.
constexpr int R = 6;  // sequences processed together
constexpr int TILE = 2;
constexpr int BLOCK = 16;  // steps whose weight gradients are accumulated together

// out[R][V * L] (+)= a[R][K] @ w[K][V * L], tiles of TILE vectors kept in registers.
template <int V>
static inline void multiply(const float* a, int K, const float* w, float* out) {
  static_assert(V % TILE == 0, "columns must fill the tiles");
  for (int tile = 0; tile < V; tile += TILE) {
    vf acc[R][TILE];
    for (int r = 0; r < R; r++)
      for (int v = 0; v < TILE; v++) acc[r][v] = load(out + r * V * L + (tile + v) * L);
    for (int k = 0; k < K; k++) {
      const float* row = w + k * V * L + tile * L;
      for (int r = 0; r < R; r++)
        for (int v = 0; v < TILE; v++) acc[r][v] += a[r * K + k] * load(row + v * L);
    }
    for (int r = 0; r < R; r++)
      for (int v = 0; v < TILE; v++) store(out + r * V * L + (tile + v) * L, acc[r][v]);
  }
}

// One LSTM step of R sequences: activates gates[R][4U] (i, f, o, g) in place, updates cell[R][U], writes its
// tanh to tc and the output to hidden.
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

template <int U>
static inline float dot(const float* a, const float* b) {
  float sums[8] = {};
  for (int u = 0; u < U; u += 8)
    for (int k = 0; k < 8; k++) sums[k] += a[u + k] * b[u + k];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

struct Sizes {
  int S, N, C, H, U;  // N: sequences of all windows, each of S steps
  int keep;  // number of first steps whose outputs are returned; the next window starts after them
  int P;  // sequences of a window, side by side in x [T, P, C]

  // Offset of a sequence's first step in x, and of step s from there.
  size_t start(int n) const { return (size_t(n / P) * keep * P + n % P) * C; }
  size_t step(int s) const { return size_t(s) * P * C; }
};

static inline void begin_gates(float* gates, const float* bias, int G) {
  for (int r = 0; r < R; r++) std::memcpy(gates + r * G, bias, G * sizeof(float));
}

// x [T, P, C], w [H, C + U, 4U], bias [H, 4U], output weights [H, U] -> hidden, cell [S, H, N, U] and the
// hidden states times the output weights [keep, H, N]. The initial state is zero.
template <int U>
static void lstm_forward(Sizes z, const float* x, const float* w, const float* bias, const float* output, bool reverse,
                         float* hidden, float* cells, float* weighed) {
  constexpr int G = 4 * U;
  const int K = z.C + U;
  std::vector<float> a(R * K);
  float gates[R * G], cell[R * U], tc[R * U], h[R * U];
  for (int n = 0; n < z.N; n += R) {
    const int rows = std::min(R, z.N - n);
    size_t start[R];
    for (int r = 0; r < rows; r++) start[r] = z.start(n + r);
    for (int head = 0; head < z.H; head++) {
      std::memset(cell, 0, sizeof(cell));
      std::memset(h, 0, sizeof(h));
      std::fill(a.begin(), a.end(), 0.f);
      for (int i = 0; i < z.S; i++) {
        const int s = reverse ? z.S - 1 - i : i;
        for (int r = 0; r < rows; r++) std::memcpy(&a[r * K], x + start[r] + z.step(s), z.C * 4);
        for (int r = 0; r < R; r++) std::memcpy(&a[r * K + z.C], h + r * U, U * 4);
        begin_gates(gates, bias + head * G, G);
        multiply<G / L>(a.data(), K, w + size_t(head) * K * G, gates);
        activate<U>(gates, cell, tc, h);
        const size_t at = ((size_t(s) * z.H + head) * z.N + n) * U;
        std::memcpy(hidden + at, h, size_t(rows) * U * 4);
        std::memcpy(cells + at, cell, size_t(rows) * U * 4);
        if (s >= z.keep) continue;
        for (int r = 0; r < rows; r++) weighed[at / U + r] = dot<U>(h + r * U, output + head * U);
      }
    }
  }
}

// dw[K][V * L] += a[rows][K]^T @ d[rows][V * L], db[V * L] += the sum of d's rows.
template <int V>
static void add_products(const float* a, int K, const float* d, int rows, float* dw, float* db) {
  constexpr int KT = 6;
  for (int v = 0; v < V; v++) {
    vf sum = {};
    for (int r = 0; r < rows; r++) sum += load(d + (size_t(r) * V + v) * L);
    store(db + v * L, load(db + v * L) + sum);
  }
  for (int tile = 0; tile < V; tile += TILE)
    for (int k = 0; k < K; k += KT) {
      const int ks = std::min(KT, K - k);
      vf acc[KT][TILE] = {};
      for (int r = 0; r < rows; r++)
        for (int i = 0; i < KT; i++) {
          const float own = a[size_t(r) * K + std::min(k + i, K - 1)];
          for (int v = 0; v < TILE; v++) acc[i][v] += own * load(d + (size_t(r) * V + tile + v) * L);
        }
      for (int i = 0; i < ks; i++)
        for (int v = 0; v < TILE; v++) {
          float* at = dw + (size_t(k + i) * V + tile + v) * L;
          store(at, load(at) + acc[i][v]);
        }
    }
}

// Backpropagation through time. The activations are recomputed from the stored states, which is cheaper than
// storing and loading them. wt [H, 4U, KP] is w transposed, its rows padded to KP; grad [keep, H, N].
template <int U, int KP>
static void lstm_backward(Sizes z, const float* x, const float* w, const float* wt, const float* bias,
                          const float* output, bool reverse, const float* hidden, const float* cells, const float* grad,
                          float* dx, float* dw, float* db, float* doutput) {
  constexpr int G = 4 * U;
  const int K = z.C + U;
  std::vector<float> as(size_t(BLOCK) * R * K), dgs(size_t(BLOCK) * R * G), da(R * KP);
  std::vector<float> local(size_t(z.S) * R * z.C);
  float gates[R * G], cell[R * U], before[R * U], tc[R * U], h[R * U], dh[R * U], dc[R * U];
  for (int n = 0; n < z.N; n += R) {
    const int rows = std::min(R, z.N - n);
    size_t start[R];
    for (int r = 0; r < rows; r++) start[r] = z.start(n + r);
    std::fill(local.begin(), local.end(), 0.f);
    for (int head = 0; head < z.H; head++) {
      std::memset(dh, 0, sizeof(dh));
      std::memset(dc, 0, sizeof(dc));
      for (int i = z.S - 1; i >= 0; i--) {
        const int s = reverse ? z.S - 1 - i : i, earlier = reverse ? s + 1 : s - 1;
        const int place = (z.S - 1 - i) % BLOCK;
        float *a = &as[size_t(place) * R * K], *dg = &dgs[size_t(place) * R * G];
        std::memset(a, 0, R * K * sizeof(float));
        std::memset(before, 0, sizeof(before));
        for (int r = 0; r < rows; r++) {
          const size_t at = ((size_t(earlier) * z.H + head) * z.N + n + r) * U;
          std::memcpy(&a[r * K], x + start[r] + z.step(s), z.C * 4);
          if (i > 0) std::memcpy(&a[r * K + z.C], hidden + at, U * 4), std::memcpy(before + r * U, cells + at, U * 4);
        }
        begin_gates(gates, bias + head * G, G);
        multiply<G / L>(a, K, w + size_t(head) * K * G, gates);
        std::memcpy(cell, before, sizeof(cell));
        activate<U>(gates, cell, tc, h);
        if (s < z.keep)
          for (int r = 0; r < rows; r++) {
            const float own = grad[(size_t(s) * z.H + head) * z.N + n + r];
            for (int u = 0; u < U; u++) {
              dh[r * U + u] += own * output[head * U + u];
              doutput[head * U + u] += own * h[r * U + u];
            }
          }
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
        if (place == BLOCK - 1 || i == 0)
          add_products<G / L>(as.data(), K, dgs.data(), (place + 1) * R, dw + size_t(head) * K * G, db + head * G);
      }
    }
    for (int s = 0; s < z.S; s++)  // windows share frames
      for (int r = 0; r < rows; r++)
        for (int c = 0; c < z.C; c++) dx[start[r] + z.step(s) + c] += local[(size_t(s) * R + r) * z.C + c];
  }
}

static Sizes sizes(const Tensor& x, const Tensor& bias, int64_t chunk, int64_t look_ahead) {
  TORCH_CHECK(chunk > 0, "there are no frames");
  const int T = x.size(0), P = x.size(1), windows = (T - look_ahead) / chunk;
  TORCH_CHECK(windows > 0, "a window of ", chunk + look_ahead, " frames does not fit into ", T);
  const int S = chunk + look_ahead;
  return {S, windows * P, int(x.size(2)), int(bias.size(0)), int(bias.size(1) / 4), int(chunk), P};
}

std::vector<Tensor> scan_forward(Tensor x, Tensor w, Tensor bias, Tensor output, bool reverse, int64_t chunk,
                                 int64_t look_ahead) {
  const Sizes z = sizes(x, bias, chunk, look_ahead);
  Tensor hidden = at::empty({z.S, z.H, z.N, z.U}, x.options()), cells = at::empty_like(hidden);
  Tensor weighed = at::empty({chunk, z.H, z.N}, x.options());
  auto run = [&](auto f) {
    f(z, x.data_ptr<float>(), w.data_ptr<float>(), bias.data_ptr<float>(), output.data_ptr<float>(), reverse,
      hidden.data_ptr<float>(), cells.data_ptr<float>(), weighed.data_ptr<float>());
  };
  if (z.U == 24) run(lstm_forward<24>);
  else if (z.U == 32) run(lstm_forward<32>);
  else if (z.U == 64) run(lstm_forward<64>);
  else TORCH_CHECK(false, "the LSTM kernel is made for 24, 32 and 64 units, got ", z.U);
  return {weighed, hidden, cells};
}

std::vector<Tensor> scan_backward(Tensor x, Tensor w, Tensor bias, Tensor output, Tensor hidden, Tensor cells,
                                  Tensor grad, bool reverse, int64_t chunk, int64_t look_ahead) {
  const Sizes z = sizes(x, bias, chunk, look_ahead);
  const int K = z.C + z.U, KP = (K + 63) / 64 * 64;
  Tensor wt = at::zeros({z.H, 4 * z.U, KP}, x.options());
  wt.narrow(2, 0, K).copy_(w.transpose(1, 2));
  Tensor dx = at::zeros_like(x), dw = at::zeros_like(w), db = at::zeros_like(bias);
  Tensor doutput = at::zeros_like(output);
  auto run = [&](auto f) {
    f(z, x.data_ptr<float>(), w.data_ptr<float>(), wt.data_ptr<float>(), bias.data_ptr<float>(),
      output.data_ptr<float>(), reverse, hidden.data_ptr<float>(), cells.data_ptr<float>(), grad.data_ptr<float>(), dx.data_ptr<float>(),
      dw.data_ptr<float>(), db.data_ptr<float>(), doutput.data_ptr<float>());
  };
  if (z.U == 24 && KP == 64) run(lstm_backward<24, 64>);
  else if (z.U == 24 && KP == 128) run(lstm_backward<24, 128>);
  else if (z.U == 32 && KP == 64) run(lstm_backward<32, 64>);
  else if (z.U == 32 && KP == 128) run(lstm_backward<32, 128>);
  else if (z.U == 64 && KP == 128) run(lstm_backward<64, 128>);
  else if (z.U == 64 && KP == 192) run(lstm_backward<64, 192>);
  else TORCH_CHECK(false, "the LSTM kernel is not made for ", z.C, " features and ", z.U, " units");
  return {dx, dw, db, doutput};
}
