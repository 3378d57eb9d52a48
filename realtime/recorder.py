"""Writes a session's recordings in a thread of its own, so that a slow disk delays nothing else.

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

EVERY_S = 0.5  #: interval between flushes; with the encoder's own 0.1 s, kill -9 loses less than 2 s
MOST_QUEUED = 12_000  #: blocks and events: two minutes of blocks of 10 ms
CLOSE_WITHIN_S = 5.0


def unused(path: Path) -> Path:
    """Returns ``path``, or the first of ``take-2.mid``, ``take-3.mid``, ... that does not exist."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


class Recorder:
    """Writes the files ``midi`` and ``audio`` during a session; either may be None.

    Raises OSError if a file cannot be written at the start. Later failures are only reported. The MIDI file
    is tried again and may still become complete; at the end, ``faults`` lists what is missing.
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
        self._cut_s: float | None = None  # time of the first event left out; None: none was
        self._flush_s = clock.now() + EVERY_S
        self._reported: dict[Path, str] = {}  # last failure of each file
        self.faults: list[str] = []  #: one line per incomplete recording; complete once closed

    def audio(self, block: Block) -> None:
        """Queues a block as it came from the input."""
        self._put(block)

    def events(self, events: Sequence[Event]) -> None:
        """Queues events as they are sent to the port, in stream time."""
        if not events:
            return
        if self._cut_s is not None and self._put(all_ends(self._cut_s)):
            self._cut_s = None  # notes whose ends were left out are ended, the pedal too
        if self._cut_s is not None or not self._put(list(events)):
            self._cut_s = events[0].time_s if self._cut_s is None else self._cut_s

    def step(self, timeout_s: float = 0.0) -> bool:
        """Takes what is queued, waiting at most ``timeout_s``; flushes when due. Returns False at the end."""
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
        """Starts the thread that calls ``step``."""
        self._thread = threading.Thread(target=self._run, name="hppnet-recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Writes all that is queued and closes the files. May be called twice; never raises."""
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
        """Calls ``write``, reports a failure, and returns whether it succeeded."""
        try:
            write()
        except Exception as error:  # the disk is full or gone: the session continues
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
