"""Faster kernels for training: LSTMs, harmonic convolutions, norms and pooling in C++, or PyTorch's LSTMs.

The C++ code (kernels.cpp) is for CPUs. It is compiled at first use where a compiler is found; without it
training is slower, with the same results.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..model.layers import FrequencyNorm, HarmonicDilatedConv, PoolToKeys
from ..model.lstm import FineGrainedLSTM, run_library
from ..model.network import HPPNet
from ..model.pedal import PedalHead
from ..processes import alone

FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]


@functools.cache
def compiled() -> Any:
    """The C++ module, or None (with a warning that says why) where it cannot be built."""
    from torch.utils import cpp_extension

    try:
        source = Path(__file__).with_name("kernels.cpp")
        # The name depends on path, Python, PyTorch and processor. Installations that shared a name would keep
        # rebuilding it, and a machine that shares the home folder may lack instructions that -march=native
        # used on another machine.
        telling = f"{source} {sys.version} {torch.__version__} {processor()}"
        name = f"hppnet_kernels_{hashlib.sha256(telling.encode()).hexdigest()[:8]}"
        root = os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root()
        folder = Path(root) / name
        with alone_in(folder):
            return cpp_extension.load(name, [str(source)], FLAGS, build_directory=str(folder))
    except Exception as error:  # compiler, ninja or headers missing: the consequence is the same
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        warnings.warn(f"training without its C++ kernels, several times slower: {reason}", stacklevel=2)
        return None


def processor() -> str:
    """What -march=native depends on: the processor's model and features, as reported by the system."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        first = []
    telling = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU ", "Features")
    lines = sorted(" ".join(line.split()) for line in first if line.startswith(telling))
    return "\n".join([platform.machine(), platform.processor(), *lines])


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lets one process at a time build in a folder.

    PyTorch's lock is a file, which a killed process leaves behind; PyTorch then waits for ever. Here the
    operating system holds the lock and releases it when the process ends; PyTorch's stale file is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "building"):
        (folder / "lock").unlink(missing_ok=True)
        yield


def accelerate(network: HPPNet, device: str = "cpu", harmonic: bool = True) -> bool:
    """Sets faster kernels on a network for training; returns whether the compiled ones are among them.

    The compiled kernels are for CPUs and for certain layer sizes. Other LSTMs run as PyTorch's own, which on
    a GPU is cuDNN's.
    """
    there = device == "cpu" and compiled() is not None
    for module in network.modules():
        if isinstance(module, FineGrainedLSTM):
            fits = _fits(module.weight_x.shape[1], module.units)
            module.kernel = lstm if there and fits else run_library
        elif isinstance(module, PedalHead):
            fits = _fits(module.units, module.units)
            module.kernel = lstm if there and fits else run_library
        elif there and isinstance(module, FrequencyNorm):
            module.kernel = norm
        elif there and isinstance(module, PoolToKeys):
            module.kernel = pool
        elif there and harmonic and isinstance(module, HarmonicDilatedConv) and _in_eights(module):
            module.kernel = convolve
    return there


def _in_eights(module: HarmonicDilatedConv) -> bool:
    """Whether kernels.cpp supports this convolution's numbers of channels, forward and backward."""
    return module.conv.out_channels % 8 == 0 and module.conv.in_channels // len(module.shifts) % 8 == 0


def _fits(features: int, units: int) -> bool:
    """Whether kernels.cpp supports an LSTM's sizes: its units, and its weights' rows in multiples of 64."""
    rows = -(-(features + units) // 64) * 64
    return (units, rows) in {(24, 64), (24, 128), (32, 64), (32, 128), (64, 128), (64, 192)}


def lstm(
    x: Tensor,
    weight_x: Tensor,
    weight_h: Tensor,
    bias: Tensor,
    output: Tensor,
    reverse: bool,
    chunk: int,
    look_ahead: int,
) -> Tensor:
    """Kernel of ``FineGrainedLSTM.run``, in fp32.

    x [S, N, C] to projected states [H, chunk, n * N] of n windows.
    """
    weight = torch.cat([weight_x, weight_h], dim=1)
    x, bias, output = x.float().contiguous(), bias[:, 0].contiguous(), output.contiguous()
    return _LSTMScan.apply(x, weight, bias, output, reverse, chunk, look_ahead).transpose(0, 1)


def norm(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, passing: Tensor | None) -> Tensor:
    """Kernel of ``FrequencyNorm.forward``: x [B, C, T, F] to the same shape, in x's type."""
    assert not relu or passing is None, "norm.h adds nothing to a rectified output"
    passing = None if passing is None else passing.to(x.dtype).contiguous()
    return _Norm.apply(x.contiguous(), weight, bias, relu, passing)


def pool(x: Tensor) -> Tensor:
    """Kernel of ``PoolToKeys.forward``: x [B, C, T, 4 P] to [B, C, T, P], in x's type."""
    return _Pool.apply(x.contiguous())


def convolve(x: Tensor, weight: Tensor, bias: Tensor, shifts: tuple[int, ...]) -> Tensor:
    """Kernel of ``HarmonicDilatedConv.forward``: x [B, C, T, F] to [B, O, T, F], in x's type."""
    outputs = weight.shape[0]
    kernel = weight[:, :, 0, 0].view(outputs, len(shifts), -1).permute(1, 2, 0).contiguous()
    return _Harmonic.apply(x.contiguous(), kernel, bias, shifts)


class _LSTMScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        output: Tensor,
        reverse: bool,
        chunk: int,
        look_ahead: int,
    ) -> Tensor:
        ctx.how = reverse, chunk, look_ahead
        projected, hidden, cells = compiled().scan_forward(x, weight, bias, output, *ctx.how)
        ctx.save_for_backward(x, weight, bias, output, hidden, cells)
        return projected

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = compiled().scan_backward(*ctx.saved_tensors, grad.contiguous(), *ctx.how)
        return *grads, None, None, None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, relu: bool, passing: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.relu, ctx.passing = relu, passing is not None
        return compiled().norm_forward(x, weight, bias, relu, passing)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad.contiguous()
        grads = compiled().norm_backward(*ctx.saved_tensors, ctx.relu, grad)
        return *grads, None, grad if ctx.passing else None


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y, which = compiled().pool_forward(x)
        ctx.save_for_backward(which)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return compiled().pool_backward(grad.contiguous(), *ctx.saved_tensors)


class _Harmonic(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shifts: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shifts = shifts
        return compiled().harmonic_forward(x, weight, bias, shifts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        back = [-s for s in ctx.shifts]
        dx = compiled().harmonic_forward(grad, weight.transpose(1, 2).contiguous(), None, back)
        return dx, *compiled().harmonic_weight_grad(x, grad, ctx.shifts), None
