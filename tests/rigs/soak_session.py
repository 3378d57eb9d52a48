"""A day of playing in simulated time, and a thousand faults: does anything pile up, hang or break?

The true session, decoder, sender and recordings run in this thread; only the device, the port and the clock
are simulated. Memory is this process's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import mido
import numpy as np
import soundfile

from hppnet.model.notes import read_midi
from hppnet.realtime.bench_round_trip import MidiSink
from hppnet.realtime.inputs import Block, InputEnded
from hppnet.realtime.live_decoder import LiveModel
from hppnet.realtime.midi_output import MidiOutput
from hppnet.realtime.session import LiveSession
from hppnet.realtime.settings import LiveSettings

from ..simulated_clock import SimulatedClock
from .soak_faults import FaultInjector, RoughModel, RoughSink
from .soak_input import BLOCK_S, SILENCE_S, Programme, RoughInput

MOST_GROWTH_MIB = 20.0
MOST_CLOCK_ERROR_MS = 20.0
MOST_WAITING = 500  #: events; two seconds of the busiest playing are a tenth of it
WARM_UP = 0.05  #: of the whole, but no more than
WARM_UP_MOST_S = 1800.0
SAMPLED_S = 30.0
ALLOWANCE_MS = 2000.0  #: blocks are long here; nothing must count as late for that
FAULT_EVERY_S = 3.0
BEGIN_S = 100.0  #: of the clock
RECOVERY_S = 60.0  #: without faults at the end


@dataclass
class SoakResult:
    """What was seen. ``verdict`` names what is wrong with it."""

    simulated_h: float
    wall_s: float = 0.0
    notes: int = 0
    presses: int = 0  #: of the sustain pedal
    stuck_notes: int = 0  #: keys down at the end of a long silence, or at the very end
    stuck_pedals: int = 0  #: the pedal, likewise
    overlaps: int = 0  #: keys played on the port while they were down
    strange_messages: int = 0
    most_waiting_events: int = 0
    most_waiting_events_at_end: int = 0  #: in the last tenth
    most_backlog_ms: float = 0.0
    most_clock_error_ms: float = 0.0  #: between a sample's time and what the session takes it for
    memory_mib: list[float] = field(default_factory=list)  #: every SAMPLED_S
    memory_growth_mib: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    crash: str | None = None
    recorded_notes: int | None = None  #: None: not readable
    recorded_presses: int | None = None
    recorded_hanging: int = 0  #: keys that the MIDI recording leaves down, and the pedal
    recorded_s: float | None = None  #: of sound; None: not readable, or not recorded

    def verdict(self) -> list[str]:
        """What is wrong, a line each; nothing if all is well."""
        faulty = bool(self.faults)
        return [
            line
            for wrong, line in (
                (self.crash is not None, f"the session crashed: {self.crash}"),
                (self.stuck_notes > 0, f"{self.stuck_notes} notes were stuck"),
                (self.stuck_pedals > 0, f"the pedal was stuck {self.stuck_pedals} times"),
                (self.recorded_hanging > 0, "the MIDI recording leaves a key or the pedal down"),
                (self.overlaps > 0, f"{self.overlaps} keys were played while down"),
                (self.strange_messages > 0, f"{self.strange_messages} messages were no MIDI"),
                (
                    self.memory_growth_mib > MOST_GROWTH_MIB,
                    f"memory grew by {self.memory_growth_mib:.1f} MiB",
                ),
                (self.most_waiting_events > MOST_WAITING, f"{self.most_waiting_events} events piled up"),
                (
                    self.most_clock_error_ms > MOST_CLOCK_ERROR_MS and not faulty,
                    f"the session's time was {self.most_clock_error_ms:.0f} ms off",
                ),
                (self.recorded_notes is None, "the MIDI recording cannot be read"),
                (faulty and self.recorded_s is None, "the sound recording cannot be read"),
            )
            if wrong
        ]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "wrong": self.verdict()}


def play_day(
    model: LiveModel,
    music: np.ndarray,
    sample_rate: int,
    hours: float,
    seed: int = 1,
    report: Callable[[str], object] = lambda stage: None,
) -> SoakResult:
    """Hours of looped music [n], silence and noise, faster than real time, MIDI recorded."""
    return _Soak(model, music, sample_rate, 3600 * hours, 0, seed, report).go()


def play_faults(
    model: LiveModel,
    music: np.ndarray,
    sample_rate: int,
    count: int,
    seed: int = 1,
    report: Callable[[str], object] = lambda stage: None,
) -> SoakResult:
    """So many random faults, then a minute without; MIDI and sound recorded."""
    seconds = count * FAULT_EVERY_S + RECOVERY_S
    return _Soak(model, music, sample_rate, seconds, count, seed, report).go()


class _CheckedSession(LiveSession):
    """Shows what the soak checks."""

    clock_of_newest_sample_s = 0.0  #: as the session believes

    @property
    def waiting_events(self) -> int:
        return len(self._sender._waiting)

    def _watch(self, block: Block) -> None:
        self.clock_of_newest_sample_s = self._timeline.clock_of(block.end_s)
        super()._watch(block)


class _Soak:
    """One soak."""

    def __init__(
        self,
        model: LiveModel,
        music: np.ndarray,
        sample_rate: int,
        seconds: float,
        fault_count: int,
        seed: int,
        report: Callable[[str], object],
    ) -> None:
        self.result = SoakResult(seconds / 3600)
        self._seconds, self._faults, self._report, self._rate = seconds, fault_count, report, sample_rate
        self._rng = np.random.default_rng(seed)
        self._clock = SimulatedClock(BEGIN_S)
        programme = Programme(music, sample_rate, seconds, self._rng)
        self._input = RoughInput(programme, sample_rate, self._clock, self._rng)
        self._sink = RoughSink(self._clock, self._rng)
        self._model = RoughModel(model)
        self._injector = FaultInjector(self._input, self._sink, self._model, self._rng)
        self._fault_s = self._sampled_s = self._clock.now()

    def go(self) -> SoakResult:
        began = perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            midi, audio = Path(folder) / "notes.mid", Path(folder) / "sound.flac"
            settings = LiveSettings(
                record=midi, record_audio=audio if self._faults else None, allowance_ms=ALLOWANCE_MS
            )
            port = MidiOutput(wire=self._sink.open)
            session = _CheckedSession(self._model, self._input, port, settings, clock=self._clock)
            try:
                self._play(session)
            except Exception as error:
                self.result.crash = f"{type(error).__name__}: {error}"
            finally:
                session.stop()
            self._sum_up(midi, audio)
        self.result.wall_s = perf_counter() - began
        return self.result

    def _play(self, session: _CheckedSession) -> None:
        session.prepare()
        try:
            while True:
                session.turn(BLOCK_S)
                self._look(session)
                self._maybe_inject()
        except InputEnded:
            pass

    def _look(self, session: _CheckedSession) -> None:
        result, programme = self.result, self._input.programme
        waiting = session.waiting_events
        result.most_waiting_events = max(result.most_waiting_events, waiting)
        if self._passed_s > 0.9 * self._seconds:
            result.most_waiting_events_at_end = max(result.most_waiting_events_at_end, waiting)
        result.most_backlog_ms = max(result.most_backlog_ms, session.status().backlog_ms)
        if programme.ends_silence and not self._just_injected:
            self._count_stuck()
        if self._passed_s > 10 and not self._faults:
            error_s = abs(session.clock_of_newest_sample_s - self._input.clock_of_end())
            result.most_clock_error_ms = max(result.most_clock_error_ms, 1000 * error_s)
        if self._clock.now() - self._sampled_s >= SAMPLED_S:
            self._sampled_s = self._clock.now()
            result.memory_mib.append(rss_mib())
            self._report(
                f"{self._passed_s / 3600:.2f} of {self._seconds / 3600:.2f} h, {self._sink.notes} notes"
            )

    def _maybe_inject(self) -> None:
        due = self._clock.now() - self._fault_s >= self._rng.exponential(FAULT_EVERY_S)
        if due and self._injector.counts.total() < self._faults and self._input.programme.left_s > RECOVERY_S:
            self._fault_s = self._clock.now()
            self._injector.inject()

    def _count_stuck(self) -> None:
        self.result.stuck_notes += len(self._sink.down)
        self.result.stuck_pedals += self._sink.pedal_down

    @property
    def _passed_s(self) -> float:
        return self._clock.now() - BEGIN_S

    @property
    def _just_injected(self) -> bool:
        """A fault may be so fresh that its notes could not yet be ended."""
        return bool(self._faults) and self._clock.now() - self._fault_s < SILENCE_S

    def _sum_up(self, midi: Path, audio: Path) -> None:
        result, sink = self.result, self._sink
        result.notes, result.overlaps, result.strange_messages = sink.notes, sink.overlaps, sink.strange
        result.presses = sink.presses
        self._count_stuck()
        result.faults = dict(self._injector.counts)
        warm = round(min(WARM_UP * self._seconds, WARM_UP_MOST_S) / SAMPLED_S)
        after = result.memory_mib[warm:]
        result.memory_growth_mib = max(after) - after[0] if after else 0.0
        try:
            result.recorded_notes = len(read_midi(midi))
            recorded = replay(midi)
            result.recorded_presses, result.recorded_hanging = recorded.presses, recorded.hangs
            result.recorded_s = soundfile.info(audio).duration if self._faults else None
        except (ValueError, soundfile.LibsndfileError):
            pass


def replay(path: Path) -> MidiSink:
    """A sink that has received a MIDI file. Raises OSError or ValueError."""
    sink = MidiSink(keep=False)
    for message in mido.merge_tracks(mido.MidiFile(path).tracks):
        if message.type in ("note_on", "note_off", "control_change"):
            sink.send(message.bytes())
    return sink


def rss_mib() -> float:
    """What this process holds in memory now, in MiB; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096 / 2**20
    except OSError:
        return 0.0
