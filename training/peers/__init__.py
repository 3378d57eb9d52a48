"""Piano transcribers behind one protocol: other people's, to compare with and to label with, and hppnet.

Other people's are installed on demand (``pip install 'hppnet[peers]'`` has what pip can resolve); each
adapter says how. An adapter imports its program in ``load`` only.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import NamedTuple, Protocol

from ...model.notes import Note, Press


class Prediction(NamedTuple):
    """What a peer finds in one recording."""

    notes: list[Note]  #: in any order
    pedal: list[Press] | None  #: presses of the sustain pedal, in any order; None: not predicted


class About(NamedTuple):
    """What one takes on with a program."""

    download_mb: float  #: of the program and its weights; what it needs beside them apart
    code_licence: str
    weights_licence: str


class Peer(Protocol):
    """A transcriber."""

    name: str  #: as after ``--model``
    needs: tuple[str, ...]  #: the modules that it imports
    install: str  #: the command that installs them
    note_ends: str  #: where its notes end: keys or sounding, as in ``prepared``

    @property
    def about(self) -> About: ...

    def load(self) -> None:
        """Imports the program and loads its weights."""

    def transcribe(self, path: Path) -> Prediction:
        """Transcribes a sound file that libsndfile can read."""


#: name -> (module of this package, class). hppnet itself is made by ``own.OwnPeer``: it takes a checkpoint.
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
