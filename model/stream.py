"""The two drivers of one algorithm: live, with a look-ahead of R frames, and whole recordings.

Both take blocks of any size and give the same notes whatever the sizes. A stream is one thread's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .config import DecoderConfig
from .decoder import Decoder
from .frontend import FrontEnd
from .network import HPPNet, Judged
from .notes import Event
from .spectra import Spectra
from .timebase import BINS, FRAME_S, FRAMES_PER_SECOND

#: Frames that go through the network at once: more would fall out of the processor's cache.
PIECE_FRAMES = 25

#: Is shown every block of probabilities [T, 88, 4], or of the pedal's [T].
Watch = Callable[[np.ndarray], None]


class Stream:
    """Sound in, events out, ``latency_s`` after they were played."""

    def __init__(
        self,
        network: HPPNet,
        front_end: FrontEnd,
        decoder: DecoderConfig,
        look_ahead: int,
        sample_rate: int,
        watch: Watch | None = None,
        watch_pedal: Watch | None = None,
    ) -> None:
        self.look_ahead, self.sample_rate = look_ahead, sample_rate
        self._network = network
        self._spectra = Spectra(front_end, sample_rate)
        self._decoder = Decoder(decoder)
        self._watch, self._watch_pedal = watch, watch_pedal
        self.reset()

    @property
    def latency_s(self) -> float:
        """Algorithmic latency in seconds: from a frame's centre to the announcement of its onset."""
        return self._spectra.latency_s + (self.look_ahead + 1) * FRAME_S

    def reset(self) -> None:
        """As new: forgets all sound and all sounding notes; the next sample is at 0 s."""
        self._spectra.reset()
        self._decoder.reset()
        self._state = self._network.start()
        self._judged = 0

    def feed(self, block: object) -> list[Event]:
        """Events that a block of mono samples [n] (float, -1 to 1, at ``sample_rate``) completes.

        Raises TypeError or ValueError for other input, and then has not taken any of it.
        """
        return self._hear(self._spectra.feed(block))

    def flush(self) -> list[Event]:
        """The events still owed, as if silence followed, and the ends of what sounds. Then ``reset``."""
        spectra = self._spectra.flush(self.look_ahead)
        return self._hear(spectra, self._spectra.total_frames) + self._decoder.flush()

    @torch.inference_mode()
    def _hear(self, spectra: Tensor, total: int | None = None) -> list[Event]:
        events: list[Event] = []
        for piece in spectra.split(PIECE_FRAMES, dim=1) if spectra.shape[1] else ():
            judged, self._state = self._network.step(
                piece.to(self._network.bias.device), self._state, self.look_ahead
            )
            events.extend(self._decode(judged, total))
        return events

    def _decode(self, judged: Judged, total: int | None = None) -> list[Event]:
        """Events of the logits of one stream; of the frames up to ``total`` only, where that is given."""
        frames = judged.keys.shape[1]
        owed = frames if total is None else min(frames, total - self._judged)
        probabilities, pedal = probable(judged, owed)
        self._judged += owed
        _show(probabilities, self._watch)
        _show(pedal, self._watch_pedal)
        return self._decoder.feed(probabilities, pedal)


#: Of one recording: probabilities [T, 88, 4], and the pedal's [T] where the network has that head.
Probable = tuple[np.ndarray, np.ndarray | None]


def probable(judged: Judged, count: int) -> Probable:
    """Probabilities [count, 88, 4] of one stream's first frames, and the pedal's [count] if it is judged."""
    keys = torch.sigmoid(judged.keys[0, :count].float()).cpu().numpy()
    if judged.pedal is None:
        return keys, None
    return keys, torch.sigmoid(judged.pedal[0, :count].float()).cpu().numpy()


def _show(probabilities: np.ndarray | None, watch: Watch | None) -> None:
    if probabilities is not None and watch is not None:
        watch(probabilities)


class Recording:
    """As Stream, with all the future that helps: the backward LSTMs see the rest of a window and beyond.

    Windows of ``window`` frames, each with ``context`` more behind it to begin the backward LSTMs
    in; the forward LSTMs run through. Memory is bounded by the window, not by the recording.
    """

    def __init__(
        self,
        network: HPPNet,
        front_end: FrontEnd,
        decoder: DecoderConfig,
        sample_rate: int,
        watch: Watch | None = None,
        window_s: float = 20.0,
        context_s: float = 5.0,
        half: bool = False,
        watch_pedal: Watch | None = None,
    ) -> None:
        self._network, self._half = network, half
        self._watch, self._watch_pedal = watch, watch_pedal
        self._window = max(1, round(window_s * FRAMES_PER_SECOND))
        self._context = round(context_s * FRAMES_PER_SECOND)
        self._spectra = Spectra(front_end, sample_rate)
        self._decoder = Decoder(decoder)
        start = network.start()
        self._pasts, self._forward, self._pedal = start.pasts, start.forward, start.pedal
        self._spectrum = torch.zeros(1, 0, BINS)
        self._features: list[Tensor] = [start.waiting]
        self._heard: list[Tensor] = [start.pedal[2]] if start.pedal else []  # of the pedal

    def feed(self, block: object) -> list[Event]:
        """Events of the windows that a block of samples [n] completes; they may come seconds later."""
        return self._hear(self._spectra.feed(block))

    def flush(self) -> list[Event]:
        """All events still owed."""
        events = self._hear(self._spectra.flush(), last=True)
        return events + self._judge(self._waiting) + self._decoder.flush()

    @property
    def _waiting(self) -> int:
        return sum(len(part) for part in self._features)

    @torch.inference_mode()
    def _hear(self, spectra: Tensor, last: bool = False) -> list[Event]:
        events: list[Event] = []
        self._spectrum = torch.cat([self._spectrum, spectra], dim=1)
        whole = self._spectrum.shape[1] if last else self._spectrum.shape[1] // PIECE_FRAMES * PIECE_FRAMES
        for start in range(0, whole, PIECE_FRAMES):
            piece = self._spectrum[:, start : min(whole, start + PIECE_FRAMES)].to(self._network.bias.device)
            with torch.autocast(piece.device.type, torch.bfloat16, enabled=self._half):
                features, self._pasts = self._network.features(piece, self._pasts)
            self._features.append(features.float())
            if self._network.pedal is not None:
                self._heard.append(self._network.pedal.hear(features, piece))
            if self._waiting >= self._window + self._context:
                events.extend(self._judge(self._window))
        self._spectrum = self._spectrum[:, whole:]
        return events

    @torch.inference_mode()
    def _judge(self, count: int) -> list[Event]:
        x = torch.cat(self._features)
        logits, self._forward = self._network.judge(x, self._forward, count, None)
        self._features = [x[count:].clone()]
        probabilities, pedal = probable(Judged(logits, self._judge_pedal(count)), count)
        _show(probabilities, self._watch)
        _show(pedal, self._watch_pedal)
        return self._decoder.feed(probabilities, pedal)

    def _judge_pedal(self, count: int) -> Tensor | None:
        if self._network.pedal is None or self._pedal is None:
            return None
        heard = torch.cat(self._heard)
        logits, self._pedal = self._network.pedal.judge(heard, self._pedal, count, None)
        self._heard = [heard[count:].clone()]
        return logits
