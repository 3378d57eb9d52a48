"""The device, precision, threads and memory of a process."""

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
    """The device called ``name``; auto takes the first of cuda, mps, cpu that is available.

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
    """Whether PyTorch could find a GPU. If not, it need not be imported, which takes seconds."""
    if find_spec("torch") is None:
        return False
    if sys.platform.startswith("linux"):
        return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
    return sys.platform != "darwin" or platform.machine() == "arm64"


def gpus() -> dict[str, str]:
    """Names and descriptions of PyTorch's GPUs, the best first. Imports it only if there may be one."""
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
    """Limits PyTorch, if it is already imported, to one thread. ONNX Runtime uses one anyway.

    A step is too small to share: on a busy machine, two threads are several times slower than one.
    """
    set_threads(1)


def set_threads(count: int) -> None:
    """Limits PyTorch, if it is already imported, to ``count`` threads."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def peak_mib() -> float | None:
    """Peak memory of this process so far, in MiB; None if the system does not report it."""
    try:
        # Not getrusage: on Linux its peak includes that of the process that started this one.
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        if sys.platform != "darwin":
            return None
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def keep_memory() -> None:
    """Makes glibc keep the memory of large tensors (mallopt(3)); no effect with other C libraries.

    Returning it after each use and fetching it again takes a seventh of the time of a training step and of a
    recording, and half of that of a Dask worker, which is set to return all memory. Threads started later
    share the main thread's arena: arenas of their own would return all free memory.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_ARENA_MAX, 1)
