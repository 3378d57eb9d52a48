"""A thousand random faults: no crash, no stuck note, no pedal left down, recordings that can be read."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import read_midi
from hppnet.realtime.live_decoder import GateSettings
from hppnet.realtime.sender import MOST_WAITING

from .live_fakes import FakeModel, sounding_after
from .rigs.soak_session import replay
from .test_live_session import ALL_OFF, Rig

FAULTS_A_SESSION = 50


class Trouble:
    """One session and what can happen to it. Every method is a fault."""

    def __init__(self, rig: Rig, dice: random.Random) -> None:
        self._rig, self._dice = rig, dice

    def any(self) -> str:
        kinds = sorted(name for name in vars(type(self)) if not name.startswith("_") and name != "any")
        kind = self._dice.choice(kinds)
        getattr(self, kind)()
        self._rig.play(self._dice.uniform(0.05, 0.6))
        return kind

    def blocks_lost(self) -> None:
        late_s = self._dice.choice((0.005, 0.03, 0.4, 30.0))
        self._rig.play(0.01, late_s=late_s, overflow=self._dice.random() < 0.5)

    def not_numbers(self) -> None:
        block = self._rig.next_block().copy()
        block[self._dice.randrange(480) :] = self._dice.choice((np.nan, np.inf, 1e38))
        self._rig.play(0.03, samples=block)

    def noise(self) -> None:
        self._rig.play(0.2, samples=np.random.default_rng(self._dice.randrange(99)).normal(0, 0.3, 4800))

    def silence(self) -> None:
        self._rig.play(self._dice.choice((0.5, 3.0)), samples=np.zeros(480))

    def machine_stalls(self) -> None:
        for _ in range(self._dice.choice((5, 60, 150, 600))):
            self._rig.sound.play(self._rig.next_block())

    def engine_fails(self) -> None:
        failures = iter(range(self._dice.randint(1, 3)))

        def fail(frames: int) -> None:
            if next(failures, None) is not None:
                raise RuntimeError("no more memory")

        self._rig.model.step = fail

    def engine_is_slow(self) -> None:
        slow_s = self._dice.choice((0.03, 0.3))
        self._rig.model.step = lambda frames: self._rig.clock.sleep(slow_s)
        self._rig.play(0.3)
        self._rig.model.step = lambda frames: None

    def port_fails(self) -> None:
        failures = iter(range(self._dice.randint(1, 8)))

        def fail() -> None:
            if next(failures, None) is not None:
                raise OSError("cable pulled")

        self._rig.trouble = fail

    def port_is_slow(self) -> None:
        waits = iter([self._dice.choice((0.02, 0.5, 3.0))])
        self._rig.trouble = lambda: self._rig.clock.sleep(next(waits, 0.0))

    def port_goes(self) -> None:
        self._rig.wire_there = False
        if self._rig.wires:
            self._rig.wires[-1].gone = True
        self._rig.play(self._dice.uniform(0.1, 4))
        self._rig.wire_there = True

    def device_goes(self) -> None:
        sound = self._rig.sound
        names, sound.names = sound.names, self._dice.choice(([], ["Another"]))
        if sound.stream is not None:
            sound.stream.active = False
        self._rig.play(self._dice.uniform(0.1, 4))
        sound.names = names[::-1]

    def device_falls_silent(self) -> None:
        for _ in range(30):
            self._rig.clock.sleep(0.1)
            self._rig.session.turn(0)

    def device_changes_its_rate(self) -> None:
        sound = self._rig.sound
        sound.rate = self._dice.choice((44_100.0, 48_000.0, 96_000.0))
        if sound.stream is not None:
            sound.stream.active = False

    def clock_jumps(self) -> None:
        self._rig.clock.sleep(self._dice.choice((-0.3, 0.3, 20.0)))

    def machine_sleeps(self) -> None:
        self._rig.clock.sleep(300)


def check(rig: Rig, folder: Path, port_answers: bool) -> None:
    """After a session, ended at any moment."""
    session = rig.session
    assert len(session._sender._waiting) <= 2 * MOST_WAITING
    assert session._recorder is not None and session._recorder.left_out == 0
    session.stop()
    if session.port.name == "fake" and rig.wires[-1].closed and not rig.wires[-1].gone:
        assert rig.wires[-1].messages[-2:] == ALL_OFF or session._sender._retry_s is not None
    if session._sender._retry_s is None or port_answers:
        assert sounding_after(rig.messages, before=True) == set()
    read_midi(folder / "a.mid")
    assert replay(folder / "a.mid").hangs == 0
    assert soundfile.info(folder / "a.flac").frames > 0


QUICK_SESSIONS = 2


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=[pytest.mark.slow] if seed >= QUICK_SESSIONS else [])
        for seed in range(1000 // FAULTS_A_SESSION)
    ],
)
def test_random_faults(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    rig = Rig(
        FakeModel(pedal=True),
        record=tmp_path / "a.mid",
        record_audio=tmp_path / "a.flac",
        gate=GateSettings(after_s=2),
    )
    trouble = Trouble(rig, dice)
    kinds = [trouble.any() for _ in range(FAULTS_A_SESSION)]
    if dice.random() < 0.7:  # else it is ended in the middle of trouble
        rig.trouble, rig.model.step = (lambda: None), (lambda frames: None)
        rig.play(25)
        onsets = rig.onsets
        rig.play(3)
        assert rig.onsets > onsets + 8, f"no more onsets after {kinds}"
        assert rig.session.status().backlog_ms < 50
        assert rig.session._sender._retry_s is None
    if port_answers := dice.random() < 0.7:
        rig.trouble = lambda: None  # again, as it may have been the moment before
    check(rig, tmp_path, port_answers)
