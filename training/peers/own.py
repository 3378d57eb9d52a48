"""hppnet itself as a peer: recordings are labelled by the weights that ship, or by others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from ...model.downmix import Downmix
from . import Prediction

if TYPE_CHECKING:
    from ...model.transcriber import Transcriber

BLOCK = 1 << 19  #: samples of all channels


class OwnPeer:
    """With full context, on the processor. ``checkpoint`` is a file of weights; None: those that ship."""

    name = "hppnet"
    needs: tuple[str, ...] = ()
    install = "pip install hppnet"
    note_ends = "keys"  #: after ``load`` what the checkpoint says

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.checkpoint = checkpoint

    def load(self) -> None:
        """Raises CheckpointError for a bad file."""
        import torch

        from ...model.transcriber import Transcriber

        torch.set_num_threads(1)
        self.transcriber: Transcriber = Transcriber.load(self.checkpoint, device="cpu")
        self.note_ends = self.transcriber.config.note_ends

    def transcribe(self, path: Path) -> Prediction:
        with soundfile.SoundFile(path) as file:
            blocks = file.blocks(BLOCK // file.channels, dtype="float32", always_2d=True)
            mix = Downmix(file.channels, file.samplerate)
            found = self.transcriber.transcribe_blocks(map(mix.feed, blocks), file.samplerate)
        return Prediction(found.notes, found.pedal)
