// Training's hot spots, one core at a time: the heads' LSTM, the harmonic dilated convolution, norms and pooling.
//
// PyTorch spends most of a training step here on memory traffic: an LSTM step over a few hundred
// short rows is too small for its matrix product, the harmonic convolution first copies its input ten
// times, and a norm goes through its frames six times. All fit into the caches when a few rows (or one
// frame) are carried through. Nothing here is needed to transcribe; training/kernels.py falls back to
// PyTorch where there is no compiler.
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
