// Single-threaded kernels for training: the heads' LSTM, the harmonic dilated convolution, norms and pooling.
//
// In PyTorch these take most of a training step, mainly with memory traffic: an LSTM step over a few
// hundred short rows is too small for its matrix product, the harmonic convolution first copies its input
// ten times, and a norm makes six passes over its frames. Here a few rows (or one frame) are processed at a
// time, so that the data stay in the caches. Transcription does not need these kernels; training/kernels.py
// falls back to PyTorch where there is no compiler.
#include "harmonic.h"
#include "lstm.h"
#include "norm.h"

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("scan_forward", &scan_forward);
  m.def("scan_backward", &scan_backward);
  m.def("norm_forward", &norm_forward);
  m.def("norm_backward", &norm_backward);
  m.def("pool_forward", &pool_forward);
  m.def("pool_backward", &pool_backward);
  m.def("harmonic_forward", &harmonic_forward);
  m.def("harmonic_weight_grad", &harmonic_weight_grad);
}
