"""A live session: input -> worker -> sender -> port, and the recordings.

Threads: PortAudio's callback copies and queues, the worker reads and computes, only the sender uses the
port, only the recorder uses the files. The thread that calls ``run`` only waits and reports. All note offs
of the decoder go through the sender. However the session ends, the port itself ends the notes that still
sound.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..model.notes import Event
from .event_output import EventOutput
from .inputs import Block, Input, InputEnded
from .latency import Latency, measured_latency, step_ms
from .listener import Listener
from .live_decoder import LiveDecoder, LiveModel
from .midi_output import MidiOutput
from .recorder import Recorder, unused
from .sender import Sender
from .settings import LiveSettings
from .status import WORTH_CENTS, Status, TuningMeter
from .timeline import SteadyClock, SystemClock, Timeline

STEP_S = 0.1  #: longest wait for sound; then the worker checks whether to stop
JOIN_S = 3.0
LINES_KEPT = 5
log = logging.getLogger(__name__)


class LiveSession:
    """Owns its input, port and recordings from ``start`` to ``stop``; use it with ``with``, or call ``run``.

    ``report`` is called from any thread with each line for the user. ``start`` raises InputFault, PortFault
    or OSError if something is missing; afterwards only failures of the decoder end a session.
    """

    def __init__(
        self,
        model: LiveModel,
        input: Input,
        port: MidiOutput,
        settings: LiveSettings | None = None,
        *,
        clock: SteadyClock | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings or LiveSettings()
        self.input, self.port = input, port
        self.clock = clock or SystemClock()
        self.failure: BaseException | None = None  #: error that ended the worker
        self.model = model
        self._report = report or (lambda line: None)
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._mapping = self.settings.event_mapping
        self._tuning = TuningMeter() if self.settings.tuning == "auto" else None
        self._stopping = threading.Event()
        self._ended = threading.Event()  # the worker returns no more events
        self._worker: threading.Thread | None = None
        self._recorder: Recorder | None = None
        self.recordings: list[Path] = []  #: the files being written
        self.events: EventOutput | None = None  #: receives the same events as the port, but at once
        self._prepared = False

    def __enter__(self) -> LiveSession:
        self.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop()

    def prepare(self) -> None:
        """Opens all, measures the latency, starts no thread. Raises InputFault, PortFault or OSError."""
        try:
            self._open()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Calls ``prepare`` unless that is done, and starts the threads."""
        if not self._prepared:
            self.prepare()
        self._sender.start()
        if self._recorder:
            self._recorder.start()
        self._worker = threading.Thread(target=self._work, name="hppnet-worker", daemon=True)
        self._worker.start()

    def run(
        self,
        stop: threading.Event | None = None,
        watch: Callable[[Status], None] | None = None,
        every_s: float = 0.1,
    ) -> None:
        """Runs until ``stop`` is set, the file has been played, or the decoder fails, which is raised here.

        Calls ``watch`` with the status every ``every_s``. However it ends, no note is left sounding and no
        pedal down.
        """
        stop = stop or threading.Event()
        try:
            if self._worker is None:
                self.start()
            while not stop.wait(every_s) and not self.finished:
                if watch is not None:
                    watch(self.status())
        finally:
            self.stop()
        if self.failure is not None:
            raise self.failure

    @property
    def finished(self) -> bool:
        """Whether nothing more will be sent."""
        return self._ended.is_set() and (self._sender.is_empty or self.failure is not None)

    @property
    def recording_faults(self) -> list[str]:
        """One line per incomplete recording, with the file's name, and for events; complete once stopped."""
        faults = [] if self._recorder is None else list(self._recorder.faults)
        events = None if self.events is None else self.events.fault
        return faults if events is None else [*faults, events]

    @property
    def sends_pedal(self) -> bool:
        return self.settings.pedal and self.model.has_pedal

    @property
    def latency(self) -> Latency:
        """The parts of the fixed latency; known once prepared."""
        return self._latency

    def turn(self, timeout_s: float = STEP_S) -> None:
        """Runs one step of worker, sender and recorder in the caller's thread, for a simulated clock.

        Raises InputEnded at a file's end, and the decoder's failures.
        """
        self._turn_worker(min(timeout_s, self._sender.step()))
        self._sender.step()
        if self._recorder:
            self._recorder.step()

    def stop(self) -> None:
        """Ends all notes, completes the recordings, closes everything. Safe to call twice; never raises."""
        self._stopping.set()
        if self._prepared:
            self._sender.close()  # first: notes of the last frames would be sent too late
        if self._worker is not None:
            self._worker.join(JOIN_S)
        elif self._prepared:
            self._finish()
        self.port.close()
        if self._recorder is not None:
            self._recorder.close()
        if self.events is not None:
            self.events.close(self._timeline.stream_of(self.clock.now()))
        if self._worker is None or not self._worker.is_alive():
            self.input.close()

    def status(self) -> Status:
        """Returns a snapshot, once prepared. Callable from any thread."""
        running_s = self.clock.now() - self._started_s
        now_s = self._timeline.stream_of(self.clock.now()) - self._sender.latency_s
        return Status(
            running_s=running_s,
            algorithmic_latency_ms=self._latency.algorithmic_ms,
            total_latency_ms=self._latency.total_ms,
            bad_samples=self._decoder.bad_samples,
            gaps=self._decoder.gaps,
            asleep=self._decoder.asleep,
            faults=tuple(self._lines),
            sounding=self.port.sounding,
            sends_pedal=self.sends_pedal,
            now_s=now_s,
            **self._listener.figures(),
            **self._sender.figures(now_s),
        )

    def report(self, line: str) -> None:
        """Reports a line to the user and keeps it for the view."""
        self._lines.append(line)
        self._report(line)

    def _open(self) -> None:
        settings, clock = self.settings, self.clock
        self.port.open()
        compute_ms = step_ms(self.model, settings.latency_ms, clock)
        self.input.open()
        rate = self.input.sample_rate
        self._decoder = LiveDecoder(
            self.model, rate, settings.latency_ms, settings.gate, pedal=settings.pedal
        )
        self._latency = measured_latency(compute_ms, self._decoder, self.input, settings)
        self._timeline = Timeline(clock.now())
        if settings.record or settings.record_audio:
            midi, audio = (unused(p) if p else None for p in (settings.record, settings.record_audio))
            self.recordings = [path for path in (midi, audio) if path]
            self._recorder = Recorder(midi, audio, rate, clock, self.report)
        self._listener = Listener(
            self.input, self._decoder, clock, self._timeline, watch=self._watch, report=self.report
        )
        self._sender = Sender(self.port, self._timeline, self._latency.total_ms / 1000, clock, self.report)
        self._started_s = clock.now()
        self._prepared = True

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn_worker(STEP_S)
        except InputEnded:
            pass
        except BaseException as error:
            self.failure = error
        finally:
            self._finish()
            self._ended.set()

    def _turn_worker(self, timeout_s: float) -> None:
        self._deliver(self._listener.step(timeout_s))
        if self._tuning is not None:
            self._retune(self._tuning)

    def _finish(self) -> None:
        """Ends all notes, in the recordings too."""
        try:
            self._deliver(self._decoder.interrupt(broken=self.failure is not None))
        except Exception:
            self._deliver(self._decoder.interrupt(broken=True))

    def _watch(self, block: Block) -> None:
        if self._recorder is not None:
            self._recorder.audio(block)
        if self._tuning is not None:
            self._tuning.add(block)

    def _deliver(self, events: list[Event]) -> None:
        played = [changed for event in events if (changed := self._mapping(event)) is not None]
        if played:
            log.debug("events %s", played)
            self._sender.put(played)
            if self.events is not None:
                self.events.put(played, self._timeline.stream_of(self.clock.now()))
            if self._recorder is not None:
                self._recorder.events(played)

    def _retune(self, tuning: TuningMeter) -> None:
        # A new front end resets the stream, so wait until nothing sounds.
        if tuning.cents is None or self._decoder.sounding or self._decoder.pedal_down:
            return
        self._tuning = None
        self.report(f"tuning: the piano is {tuning.cents:+.0f} cents from A = 440 Hz")
        if abs(tuning.cents) >= WORTH_CENTS:
            self._deliver(self._decoder.use(self.model.with_tuning(tuning.cents)))
