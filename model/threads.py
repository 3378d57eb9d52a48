"""How many threads compute.

A file of its own, so that who sets it need not load what it is about.
"""

from __future__ import annotations

import sys


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
