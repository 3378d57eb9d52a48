"""Other people's piano transcribers, to be compared with: an adapter a file, a process of its own each.

They are installed on demand (``pip install 'hppnet[peers]'`` has what pip can resolve); each adapter says
how. An adapter imports its program in ``load`` only.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Protocol

from ...model.notes import Note


class Peer(Protocol):
    """Another's transcriber."""

    name: str  #: as after ``--model``
    needs: tuple[str, ...]  #: the modules that it imports
    install: str  #: the command that installs them

    def load(self) -> None:
        """Imports the program and loads its weights."""

    def transcribe(self, path: Path) -> list[Note]:
        """The notes of a sound file that libsndfile can read, in any order."""


#: name -> (module of this package, class)
_ADAPTERS = {
    "basic-pitch": ("basic_pitch", "BasicPitch"),
    "transkun": ("transkun", "Transkun"),
}
NAMES = tuple(_ADAPTERS)


def make(name: str) -> Peer:
    """The adapter of a peer, not yet loaded."""
    module, cls = _ADAPTERS[name]
    peer: Peer = getattr(importlib.import_module(f".{module}", __name__), cls)()
    return peer


def missing(peer: Peer) -> list[str]:
    """Which of the modules that a peer needs are not installed."""
    return [name for name in peer.needs if not _is_there(name)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # taken out of this process
        return False


def rounded_velocity(value: float) -> int:
    """A loudness of 0 to 127 as a MIDI velocity."""
    return min(127, max(1, round(value)))
