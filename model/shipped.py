"""Which weights these are: where those of the package lie, and what names a file. No network needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

DEFAULT = Path(__file__).parent / "weights" / "default.safetensors"


def digest(path: Path | None = None) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of ``path``, or of the shipped weights: their name."""
    return hashlib.sha256((path or DEFAULT).read_bytes()).hexdigest()[:12]
