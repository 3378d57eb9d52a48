"""``hppnet live`` from end to end with real parts: sound over JACK in, MIDI on a real port out.

What comes back is looked at here, not how fast, with a network that every machine keeps up with; how a
machine keeps up with the shipped one is measured by ``tests.rigs.jack_round_trip``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note, NoteOn, notes_from, read_midi
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.bench_notes import onset_f1
from hppnet.realtime.bench_round_trip import RoundTrip, compare

from .children import wait_until
from .rigs.jack_peers import SYNTH, LiveProgram, PianoPeer, SynthPeer
from .rigs.jack_round_trip import live_command, play_over_jack
from .rigs.jack_server import JackServer
from .sounds import TONE_WEIGHTS, piano_like

pytestmark = pytest.mark.needs("jack")

RATE = 48_000
PITCHES = (60, 64, 67, 72)
SUSTAIN_OFF, ALL_NOTES_OFF = [0xB0, 64, 0], [0xB0, 123, 0]
LIVE = [*live_command(132), "--checkpoint", str(TONE_WEIGHTS)]


def arpeggio(seconds: float) -> tuple[np.ndarray, list[Note]]:
    """A note each 0.2 s, so that there is always one down: samples [n] and what is played."""
    onsets = {0.5 + 0.2 * i: PITCHES[i % 4] + i // 4 % 3 for i in range(round((seconds - 1) / 0.2))}
    notes = [Note(onset_s, onset_s + 0.5, pitch, 80) for onset_s, pitch in onsets.items()]
    return piano_like(onsets, seconds, RATE), notes


@pytest.fixture(scope="module")
def take() -> tuple[np.ndarray, list[Note]]:
    return arpeggio(5.0)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("recordings")
    return folder / "notes.mid", folder / "sound.flac"


@pytest.fixture(scope="module")
def trip(
    jack_server: JackServer,
    take: tuple[np.ndarray, list[Note]],
    recordings: tuple[Path, Path],
) -> RoundTrip:
    """One take played through at the default latency, recorded on the way."""
    record = ["--record", str(recordings[0]), "--record-audio", str(recordings[1])]
    return play_over_jack([*LIVE, *record], take[0], jack_server)


def messages(trip: RoundTrip) -> list[list[int]]:
    return trip.received[:, 1:].astype(int).tolist()


def assert_nothing_hangs(trip: RoundTrip) -> None:
    """Each key that went down came up before it went down again, and before the port was silenced."""
    down: set[int] = set()
    for status, pitch, velocity in messages(trip):
        if status == SUSTAIN_OFF[0] and pitch == SUSTAIN_OFF[1]:
            continue  # the pedal comes and goes with the music
        if status == 0x90 and velocity:
            assert pitch not in down, f"key {pitch} went down while it was down"
            down.add(pitch)
        elif status in (0x80, 0x90):
            down.discard(pitch)
        else:
            assert not down, f"all notes off came while {sorted(down)} were down"
    assert not down, f"{sorted(down)} were left down"
    assert messages(trip)[-2:] == [SUSTAIN_OFF, ALL_NOTES_OFF]


def test_the_notes_that_are_played_come_out(
    trip: RoundTrip, take: tuple[np.ndarray, list[Note]], transcriber: Transcriber
) -> None:
    sound, played = take
    streamed = transcriber.transcribe_blocks([sound], RATE, latency_ms=132).notes
    figures = compare(trip, played, streamed)
    # A note more or less moves a score by 0.4 here, and frames do not meet the onsets at the same places.
    assert figures["f1_gap"] < 2.5, figures
    assert figures["f1_between_the_two"] > 94, figures
    assert figures["f1_live"] > 85, figures


def test_each_key_comes_up_before_it_goes_down_again(trip: RoundTrip) -> None:
    assert len(notes_from(trip.events())) == sum(isinstance(e, NoteOn) for e in trip.events()) > 15
    assert_nothing_hangs(trip)


def test_it_prints_what_it_does_and_ends_with_0(trip: RoundTrip) -> None:
    assert trip.exit_code == 0, trip.output
    assert "system" in trip.output and "48000 Hz" in trip.output and SYNTH in trip.output
    assert "132" in trip.output or "133" in trip.output


def test_what_was_sent_is_what_was_recorded(trip: RoundTrip, recordings: tuple[Path, Path]) -> None:
    recorded = [(note.onset_s, note.pitch, note.velocity) for note in read_midi(recordings[0])]
    sent = [(e.time_s, e.pitch, e.velocity) for e in trip.events() if isinstance(e, NoteOn)]
    assert sorted(entry[1:] for entry in recorded) == sorted(entry[1:] for entry in sent)
    # From here to there it is one shift: the rhythm is the same.
    shift_s = float(np.median([a[0] - b[0] for a, b in zip(sorted(sent), sorted(recorded), strict=True)]))
    sent_onsets = [(when - shift_s, pitch) for when, pitch, _ in sent]
    assert onset_f1([(when, pitch) for when, pitch, _ in recorded], sent_onsets) > 97


def test_the_sound_that_was_played_is_recorded(
    trip: RoundTrip, recordings: tuple[Path, Path], take: tuple[np.ndarray, list[Note]]
) -> None:
    recorded, rate = soundfile.read(recordings[1], dtype="float32")
    assert rate == RATE and len(recorded) > len(take[0])
    assert np.abs(recorded).max() == pytest.approx(np.abs(take[0]).max(), rel=0.02)


@contextmanager
def playing(server: JackServer, folder: Path) -> Iterator[tuple[PianoPeer, SynthPeer, LiveProgram]]:
    """PianoPeer, program and synthesiser, and notes are coming."""
    with (
        PianoPeer(arpeggio(60.0)[0], server, folder) as piano,
        SynthPeer(server, folder) as synth,
        LiveProgram(LIVE, server, folder) as live,
    ):
        piano.play(live.listening()[0])
        synth.order("notes")
        yield piano, synth, live


def as_trip(received: np.ndarray, output: str = "") -> RoundTrip:
    return RoundTrip(np.zeros((1, 2)), received, RATE, 256, 0.0, 0, output)


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(signal.SIGINT),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_signal_while_notes_sound_leaves_nothing_down(
    jack_server: JackServer,
    tmp_path: Path,
    ending: signal.Signals,
) -> None:
    with playing(jack_server, tmp_path) as (_, synth, live):
        assert live.leave(ending) == 0, live.output
        synth.order("end")
        trip = as_trip(synth.leave(), live.output)
    ons = [event.pitch for event in trip.events() if isinstance(event, NoteOn)]
    assert len(ons) >= 3
    assert messages(trip)[-3][0] == 0x80, "nothing sounded when the signal came"
    assert_nothing_hangs(trip)


def test_a_port_that_returns_is_reopened(
    jack_server: JackServer,
    tmp_path: Path,
) -> None:
    with playing(jack_server, tmp_path) as (_, synth, live):
        synth.order("unplug")
        wait_until(lambda: live.printed("port: "), "that the port is gone")
        synth.order("plug")
        wait_until(lambda: " is back" in live.output, "the port")
        synth.order("notes")
        assert live.leave() == 0, live.output
        synth.order("end")
        received = synth.leave()
    # Looking for the port must leave the input alone: both may be on one JACK server. A few samples that are
    # lost say how busy the machine is; tests.rigs.jack_round_trip counts them.
    assert "no sound any more" not in live.output, live.output
    silenced = np.flatnonzero((received[:, 1:] == ALL_NOTES_OFF).all(1))
    back = received[silenced[-2] + 1 :] if len(silenced) > 1 else received
    assert sum(back[:, 1] == 0x90) >= 3, live.output
    assert_nothing_hangs(as_trip(back, live.output))


def test_devices_shows_what_live_would_take(jack_server: JackServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hppnet", "devices"],
        env=jack_server.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "system" in done.stdout and "JACK" in done.stdout


def test_an_input_that_is_not_there_is_named_with_what_is(jack_server: JackServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hppnet", "live", "--input", "bagpipe", "--output", "none"],
        env=jack_server.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "bagpipe" in done.stderr and "system" in done.stderr and "Traceback" not in done.stderr
