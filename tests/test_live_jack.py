"""``hppnet live`` from end to end with real parts: sound over JACK in, MIDI on a real port out.

What comes back is looked at here, not how fast: that is ``hppnet bench live``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note, NoteOff, NoteOn, notes_from, read_midi
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.arrivals import onset_f1
from hppnet.realtime.bench import compare, live_command
from hppnet.realtime.jack import JackServer
from hppnet.realtime.jack_ends import SYNTH, Piano, Program, Synth
from hppnet.realtime.journey import Journey, travel
from hppnet.realtime.piece import struck

from .jack_server import go_without, jack_server  # noqa: F401  # a fixture

DEMO = Path(__file__).parents[1] / "demo"
RATE = 48_000
SECONDS = 20.0
SUSTAIN_OFF, ALL_NOTES_OFF = [0xB0, 64, 0], [0xB0, 123, 0]


@pytest.fixture(scope="module")
def take() -> tuple[np.ndarray, list[Note]]:
    """The beginning of the bundled recording: samples [n] and what was played."""
    sound, rate = soundfile.read(DEMO / "take.opus", dtype="float32", frames=round(SECONDS * RATE))
    assert rate == RATE
    return sound.mean(axis=1), [n for n in read_midi(DEMO / "take.mid") if n.onset_s < SECONDS]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("recordings")
    return folder / "notes.mid", folder / "heard.flac"


@pytest.fixture(scope="module")
def journey(
    jack_server: JackServer,  # noqa: F811
    take: tuple[np.ndarray, list[Note]],
    recordings: tuple[Path, Path],
) -> Journey:
    """One take played through at the default latency, recorded on the way."""
    record = ["--record", str(recordings[0]), "--record-audio", str(recordings[1])]
    return travel([*live_command(132), *record], take[0], jack_server)


def messages(journey: Journey) -> list[list[int]]:
    return journey.received[:, 1:].astype(int).tolist()


def assert_nothing_hangs(journey: Journey) -> None:
    """Each key that went down came up before it went down again, and before the port was silenced."""
    down: set[int] = set()
    for status, pitch, velocity in messages(journey):
        if status == SUSTAIN_OFF[0] and pitch == SUSTAIN_OFF[1]:
            continue  # the pedal comes and goes with the music
        if status == 0x90 and velocity:
            assert pitch not in down, f"key {pitch} was struck while it was down"
            down.add(pitch)
        elif status in (0x80, 0x90):
            down.discard(pitch)
        else:
            assert not down, f"all notes off came while {sorted(down)} were down"
    assert not down, f"{sorted(down)} were left down"
    assert messages(journey)[-2:] == [SUSTAIN_OFF, ALL_NOTES_OFF]


def test_what_is_played_comes_out(
    journey: Journey, take: tuple[np.ndarray, list[Note]], transcriber: Transcriber
) -> None:
    sound, played = take
    streamed = transcriber.transcribe_blocks([sound], RATE, latency_ms=132).notes
    figures = compare(journey, played, streamed)
    # A note more or less moves a score by 0.4 here, and frames do not meet the onsets at the same places.
    assert figures["f1_gap"] < 2.5, figures
    assert figures["f1_between_the_two"] > 94, figures
    assert figures["f1_live"] > 85, figures


def test_no_key_hangs_or_is_struck_twice(journey: Journey) -> None:
    assert len(notes_from(journey.events())) == sum(isinstance(e, NoteOn) for e in journey.events()) > 50
    assert_nothing_hangs(journey)


def test_it_says_what_it_does_and_leaves_in_order(journey: Journey) -> None:
    assert journey.exit_code == 0, journey.output
    assert "system" in journey.output and "48000 Hz" in journey.output and SYNTH in journey.output
    assert "132" in journey.output or "133" in journey.output


def test_what_was_sent_is_what_was_recorded(journey: Journey, recordings: tuple[Path, Path]) -> None:
    recorded = [(note.onset_s, note.pitch, note.velocity) for note in read_midi(recordings[0])]
    sent = [(e.time_s, e.pitch, e.velocity) for e in journey.events() if isinstance(e, NoteOn)]
    assert sorted(entry[1:] for entry in recorded) == sorted(entry[1:] for entry in sent)
    # From here to there it is one shift: the rhythm is the same.
    shift_s = float(np.median([a[0] - b[0] for a, b in zip(sorted(sent), sorted(recorded), strict=True)]))
    sent_onsets = [(when - shift_s, pitch) for when, pitch, _ in sent]
    assert onset_f1([(when, pitch) for when, pitch, _ in recorded], sent_onsets) > 97


def test_what_was_heard_was_recorded(
    journey: Journey, recordings: tuple[Path, Path], take: tuple[np.ndarray, list[Note]]
) -> None:
    heard, rate = soundfile.read(recordings[1], dtype="float32")
    assert rate == RATE and len(heard) > len(take[0])
    assert np.abs(heard).max() == pytest.approx(np.abs(take[0]).max(), rel=0.02)


def held_chord(seconds: float) -> np.ndarray:
    """C, E, G struck after half a second and held to the end; samples [n]."""
    sound = np.zeros(round(seconds * RATE), dtype=np.float32)
    for pitch in (60, 64, 67):
        tone = struck(Note(0.5, seconds + 1.0, pitch, 110), RATE)[: len(sound) - RATE // 2]
        sound[RATE // 2 :] += 0.3 * tone
    return sound


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_chord_leaves_nothing_down(
    jack_server: JackServer,  # noqa: F811
    ending: signal.Signals,
) -> None:
    journey = travel(live_command(132), held_chord(4.0), jack_server, after_s=-2.0, ending=ending)
    assert journey.exit_code == 0, journey.output
    ons = {e.pitch: e.time_s for e in journey.events() if isinstance(e, NoteOn)}
    offs = {e.pitch: e.time_s for e in journey.events() if isinstance(e, NoteOff)}
    assert set(ons) >= {60, 64, 67}
    assert max(offs.values()) > journey.wall_s(1.5), "nothing sounded when the signal came"
    assert_nothing_hangs(journey)


def test_a_port_that_goes_and_comes_back_is_found_again(
    jack_server: JackServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    sound = np.tile(held_chord(1.5), 8)
    with (
        Piano(sound, jack_server, tmp_path) as piano,
        Synth(jack_server, tmp_path) as synth,
        Program(live_command(132), jack_server, tmp_path) as live,
    ):
        piano.play(live.listening()[0])
        time.sleep(3.0)
        synth.order("unplug")
        assert waited(lambda: live.said("port: ")), live.output
        synth.order("plug")
        back_s = time.monotonic()
        assert waited(lambda: " is back" in live.output), live.output
        piano.order("wait")
        assert live.leave() == 0, live.output
        time.sleep(0.2)
        received = synth.leave()
    # Looking for the port must not cost the input a sample: both may be on one JACK server.
    assert "lost by the device" not in live.output and "no sound any more" not in live.output, live.output
    struck_after = received[(received[:, 0] > back_s) & (received[:, 1] == 0x90)]
    assert len(struck_after) >= 3, live.output
    after = received[received[:, 0] > back_s]
    assert_nothing_hangs(Journey(np.zeros((1, 2)), after, RATE, 256, 0.0, 0, live.output))


def waited(condition, seconds: float = 15.0) -> bool:
    """Whether it came true in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def test_devices_shows_what_live_would_take(jack_server: JackServer) -> None:  # noqa: F811
    done = subprocess.run(
        [sys.executable, "-m", "hppnet", "devices"],
        env=jack_server.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "system" in done.stdout and "JACK" in done.stdout


def test_an_input_that_is_not_there_is_named_with_what_is(jack_server: JackServer) -> None:  # noqa: F811
    done = subprocess.run(
        [sys.executable, "-m", "hppnet", "live", "--input", "bagpipe", "--output", "none"],
        env=jack_server.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "bagpipe" in done.stderr and "system" in done.stderr and "Traceback" not in done.stderr


def test_where_tests_must_run_a_skip_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="jackd is not installed"):
        go_without("jackd is not installed")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="jackd is not installed"):
        go_without("jackd is not installed")
