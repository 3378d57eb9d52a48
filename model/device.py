"""What a process computes with: a device, a precision, threads and memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from importlib.util import find_spec

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  #: malloc.h


def choose_device(name: str = "auto") -> str:
    """The device called ``name``; auto takes the first of cuda, mps, cpu that is there.

    Raises ValueError for an unknown name or a device that this machine lacks.
    """
    if name not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    there = [*gpus(), "cpu"]
    if name == "auto":
        return there[0]
    if name not in there:
        raise ValueError(f"device {name} is not available here; there is: {', '.join(there)}{_advice()}")
    return name


def may_have_gpu() -> bool:
    """Whether PyTorch could find a GPU: where it cannot, it need not be loaded, which takes seconds."""
    if find_spec("torch") is None:
        return False
    if sys.platform.startswith("linux"):
        return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
    return sys.platform != "darwin" or platform.machine() == "arm64"


def gpus() -> dict[str, str]:
    """Names and descriptions of the GPUs that PyTorch finds, the best first; it is not loaded for none."""
    if not may_have_gpu():
        return {}
    import torch

    found = {}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_device_name(0)
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    return found


def _advice() -> str:
    return "; a GPU needs PyTorch: pip install 'hppnet[gpu]'" if find_spec("torch") is None else ""


def choose_precision(name: str, device: str) -> str:
    """fp32 or bf16; auto takes bf16 only where a GPU multiplies it natively.

    Raises ValueError for an unknown name, and for bf16 on a CPU, which computes in fp32 alone.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    if name == "bf16" and device == "cpu":
        raise ValueError("precision bf16 needs a GPU (device cuda): a CPU computes in fp32")
    if name != "auto":
        return name
    return "bf16" if device == "cuda" and _has_bf16() else "fp32"


def _has_bf16() -> bool:
    import torch

    return torch.cuda.get_device_capability() >= (8, 0)


def one_thread() -> None:
    """Lets PyTorch, where it is or will be loaded, compute with one thread; ONNX Runtime does anyway.

    A step is too small to share: beside other work, two threads are slower than one by a factor.
    """
    set_threads(1)


def set_threads(count: int) -> None:
    """As ``one_thread``, with so many."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def peak_mib() -> float | None:
    """The most memory this process has held so far, in MiB; None where the system does not tell."""
    try:
        # Not getrusage: on Linux a new process takes over there the peak of the one that started it.
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        if sys.platform != "darwin":
            return None
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def keep_memory() -> None:
    """Lets glibc keep the memory of large tensors (mallopt(3)); elsewhere nothing.

    Handed back to the system after each use and fetched again, it takes a seventh of the time of a training
    step, and of a recording's; and half of a Dask worker's, which is told to hand back all. Threads that
    begin later share the main thread's memory: of their own they would hand back whatever is empty.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_ARENA_MAX, 1)
