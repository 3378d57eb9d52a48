"""Where the network runs, and in which precision."""

from __future__ import annotations

import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; auto takes the first of cuda, mps, cpu that is there.

    Raises ValueError for an unknown name or a device that this machine lacks.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    if name == "auto":
        return torch.device(next(kind for kind, here in there.items() if here))
    if not there[name]:
        found = ", ".join(kind for kind, here in there.items() if here)
        raise ValueError(f"device {name} is not available here; there is: {found}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """fp32 or bf16; auto takes bf16 only where the processor or GPU multiplies it natively.

    Raises ValueError for an unknown name.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    if name != "auto":
        return name
    return "bf16" if _native_bf16(device) else "fp32"


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        check = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        return bool(check())
    return False
