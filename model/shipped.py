"""Which weights these are: where those of the package lie, and the identity of a file. No PyTorch needed.

A file of its own, so that who only hands out work, to processes or to a cluster, need not load PyTorch.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

DEFAULT = Path(__file__).parent / "weights" / "default.safetensors"
LICENCE = "CC BY-NC-SA 4.0: for non-commercial use only"  #: of those weights; weights/MODEL_CARD.md says why


def identity(path: Path | None = None) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over the tensors and the configuration of a checkpoint.

    What is said about the weights does not count, nor does the order in the file: weights that compute the
    same have the same identity. Of a file that is no checkpoint, over all of it: loading will say what is
    wrong. Raises OSError where it cannot be read.
    """
    content = (path or DEFAULT).read_bytes()
    try:
        return _of_checkpoint(content)
    except (ValueError, KeyError, TypeError, AttributeError):
        return hashlib.sha256(content).hexdigest()[:12]


def _of_checkpoint(content: bytes) -> str:
    """From safetensors: 8 bytes of the header's length, a header in JSON, the tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    tensors = memoryview(content)[8 + length :]
    metadata = header.pop("__metadata__")
    digest = hashlib.sha256()
    config = json.dumps(json.loads(metadata["config"]), sort_keys=True)
    digest.update(f"{metadata['format']} {config}".encode())
    for name in sorted(header):
        start, stop = header[name]["data_offsets"]
        digest.update(f"{name} {header[name]['dtype']} {header[name]['shape']}".encode())
        digest.update(tensors[start:stop])
    return digest.hexdigest()[:12]
