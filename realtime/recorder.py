"""The recordings of a session, written by a thread of their own: a slow disk holds nobody up.

``audio`` and ``events`` may be called by any thread and never wait; ``step`` writes and may block.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ..model.notes import Event
from .inputs import Block
from .recordings import AudioRecording, MidiRecording, all_ends
from .timeline import SteadyClock

EVERY_S = 0.5  #: with the encoder's own tenth of a second, less than 2 s are lost by kill -9
MOST_QUEUED = 12_000  #: blocks and events: two minutes of blocks of 10 ms
CLOSE_WITHIN_S = 5.0


def unused(path: Path) -> Path:
    """``path``, or the first of ``take-2.mid``, ``take-3.mid``, ... that is not there: no take is lost."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


class Recorder:
    """Writes ``midi`` and ``audio``, either of which may be None, as they grow.

    Raises OSError at once when a file cannot be written; later a line is reported and the music goes on.
    MIDI is tried again and may yet be whole; ``faults`` says at the end what is not.
    """

    def __init__(
        self,
        midi: Path | None,
        audio: Path | None,
        sample_rate: int,
        clock: SteadyClock,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.left_out = 0
        self._midi = MidiRecording(midi) if midi else None
        try:
            self._audio = AudioRecording(audio, sample_rate) if audio else None
        except OSError:
            if midi:
                midi.unlink()  # nothing was played yet
            raise
        self._clock = clock
        self._report = report or (lambda line: None)
        self._queue: queue.SimpleQueue[Block | Sequence[Event] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._now_s = 0.0  # stream time
        self._cut_s: float | None = None  # when events were left out that ended something
        self._flush_s = clock.now() + EVERY_S
        self._reported: dict[Path, str] = {}  # of each file, what was last wrong with it
        self.faults: list[str] = []  #: what a recording lacks, a line for each; complete once closed

    def audio(self, block: Block) -> None:
        """A block as it came from the input."""
        self._put(block)

    def events(self, events: Sequence[Event]) -> None:
        """Events as they go to the port, in stream time."""
        if not events:
            return
        if self._cut_s is not None and self._put(all_ends(self._cut_s)):
            self._cut_s = None  # nothing sounds on, and no pedal is down, for want of what was left out
        if self._cut_s is not None or not self._put(list(events)):
            self._cut_s = events[0].time_s if self._cut_s is None else self._cut_s

    def step(self, timeout_s: float = 0.0) -> bool:
        """Takes what came, waiting for it at most so long; writes from time to time. False at the end."""
        going = True
        try:
            item = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
            while True:
                going = going and item is not None
                self._take(item)
                item = self._queue.get_nowait()
        except queue.Empty:
            pass
        if self._clock.now() >= self._flush_s:
            self._flush_s = self._clock.now() + EVERY_S
            self._flush()
        return going

    def start(self) -> None:
        """Steps in a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name="hppnet-recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Writes all that came. May be called twice; never raises."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(CLOSE_WITHIN_S)
            if self._thread.is_alive():
                why = "the disk does not answer; its end is missing"
                self.faults = [f"{one.path}: {why}" for one in self._all]
            return
        while self.step():
            pass
        self._close()

    def _run(self) -> None:
        while self.step(EVERY_S):
            pass
        self._close()

    def _put(self, item: Block | Sequence[Event]) -> bool:
        if self._queue.qsize() >= MOST_QUEUED:
            self.left_out += 1
            return False
        self._queue.put(item)
        return True

    def _take(self, item: Block | Sequence[Event] | None) -> None:
        if isinstance(item, Block):
            self._now_s = max(self._now_s, item.end_s)
            if self._audio is not None:
                audio = self._audio
                self._try(audio, lambda: audio.add(item))
        elif item and self._midi is not None:
            self._midi.add(item)

    def _flush(self) -> None:
        if self._midi is not None:
            midi = self._midi
            self._try(midi, lambda: midi.flush(self._now_s))
        if self._audio is not None:
            self._try(self._audio, self._audio.flush)

    @property
    def _all(self) -> list[MidiRecording | AudioRecording]:
        return [one for one in (self._midi, self._audio) if one is not None]

    def _close(self) -> None:
        faults = []
        for one in self._all:
            closed = self._try(one, one.close)
            if not closed or (isinstance(one, AudioRecording) and one.broken):
                faults.append(f"{one.path}: {self._reported[one.path]}; {_holding(one)}")
        if self.left_out:
            names = " and ".join(str(one.path) for one in self._all)
            faults.append(f"{names}: the disk was too slow; {self.left_out} blocks and events are missing")
        self.faults = faults

    def _try(self, recording: MidiRecording | AudioRecording, write: Callable[[], None]) -> bool:
        """Whether it could be written."""
        try:
            write()
        except Exception as error:  # the disk is full, or gone: the music goes on
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if self._reported.get(recording.path) != why:
                self._report(f"recording: {recording.path}: {why}")
            self._reported[recording.path] = why
            return False
        return True


def _holding(recording: MidiRecording | AudioRecording) -> str:
    try:
        return f"it holds the first {recording.good_s:.1f} s"
    except OSError:
        return "it is gone"
