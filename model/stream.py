"""The engine live: sound comes in blocks of any size, and every frame is judged with R frames of future.

The notes are the same whatever the sizes. A stream is one thread's. Whole recordings: see ``recording``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from .config import DecoderConfig
from .decoder import Decoder
from .expectation import Expectation, Sounded, check_within
from .frontend import FrontEnd
from .network import PIECE_FRAMES, HPPNet, Predictions, Probable
from .notes import Event
from .spectra import Spectra
from .timebase import FRAME_S

#: Is shown every block of probabilities [T, 88, 4], or of the pedal's [T].
Watch = Callable[[np.ndarray], None]
#: Is told events, and the seconds of sound after which they were known; None: after the whole recording.
WatchEvents = Callable[[list[Event], float | None], None]


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
        self.watch_events: WatchEvents | None = None  #: is told what ``feed`` and ``flush`` give
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
        self._expectation: Expectation | None = None

    def feed(self, block: object) -> list[Event]:
        """Events that a block of mono samples [n] (float, -1 to 1, at ``sample_rate``) completes.

        Raises TypeError or ValueError for other input, and then has not taken any of it.
        """
        return self._hear(self._spectra.feed(block))

    def flush(self) -> list[Event]:
        """The events still owed, as if silence followed, and the ends of what sounds. Then ``reset``."""
        spectra = self._spectra.flush(self.look_ahead)
        events = self._hear(spectra, self._spectra.total_frames)
        ends = self._decoder.flush()
        if ends and self.watch_events is not None:
            self.watch_events(ends, self._spectra.duration_s)
        return events + ends

    def expect(self, pitches: Iterable[int], within_s: float) -> None:
        """Keys that are to be played next, MIDI pitches 21 to 108; twice for two strokes.

        Until ``within_s`` seconds of sound more were fed, or they are played, they are detected earlier and
        when they are softer; ``expected`` tells what was found. Strokes whose sound was fed less than
        ``latency_s`` ago count too. What ``feed`` returns does not change.

        Raises ValueError, and then expects nothing new.
        """
        expectation = self._expectation or Expectation(self._decoder.config)
        expectation.expect(pitches, self._spectra.duration_s + check_within(within_s))
        self._expectation = expectation

    def expected(self) -> list[Sounded]:
        """(pitch, time_s, wanted) of each key that was found since the last call.

        Keys that were expected are found 20 to 60 ms before ``feed`` returns their NoteOn; the others, not
        wanted, when ``feed`` returns it. Empty before ``expect`` is first called, and after ``reset``.
        """
        return [] if self._expectation is None else self._expectation.take()

    @torch.inference_mode()
    def _hear(self, spectra: Tensor, total: int | None = None) -> list[Event]:
        events: list[Event] = []
        for piece in spectra.split(PIECE_FRAMES, dim=1) if spectra.shape[1] else ():
            predictions, self._state = self._network.step(
                piece.to(self._network.bias.device), self._state, self.look_ahead
            )
            events.extend(self._decode(predictions, total))
        return events

    def _decode(self, predictions: Predictions, total: int | None = None) -> list[Event]:
        """Events of the predictions for one stream; of frames up to ``total`` only, if given."""
        frames = predictions.keys.shape[1]
        owed = frames if total is None else min(frames, total - self._judged)
        probabilities, pedal = probable(predictions, owed)
        show(probabilities, self._watch)
        show(pedal, self._watch_pedal)
        events = self._decoder.feed_frames(probabilities, pedal)
        if self._expectation is not None:
            self._expectation.feed(self._judged, probabilities, events)
        if self.watch_events is not None:
            # At the end no more sound is waited for.
            self._tell(self.watch_events, events, math.inf if total is None else self._spectra.duration_s)
        self._judged += owed
        return [event for known in events for event in known]

    def _tell(self, watch: WatchEvents, events: list[list[Event]], latest_s: float) -> None:
        """Tells the events of the frames from number ``_judged`` on."""
        for frame, known in enumerate(events, self._judged):
            if known:
                watch(known, min(latest_s, (frame - 1) * FRAME_S + self.latency_s))


def probable(predictions: Predictions, count: int) -> Probable:
    """Probabilities [count, 88, 4] of one stream's first frames, and the pedal's [count] if predicted."""
    keys = predictions.keys[0, :count].cpu().numpy()
    return keys, None if predictions.pedal is None else predictions.pedal[0, :count].cpu().numpy()


def show(probabilities: np.ndarray | None, watch: Watch | None) -> None:
    """To whoever watches, if there is something to see."""
    if probabilities is not None and watch is not None:
        watch(probabilities)
