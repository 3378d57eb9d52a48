"""Recordings are whole at any moment."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.notes import NoteOff, NoteOn, Pedal, read_midi
from hppnet.offline import pictures
from hppnet.offline.reading import open_recording
from hppnet.realtime.inputs import Block
from hppnet.realtime.recorder import MOST_QUEUED, Recorder, unused
from hppnet.realtime.recordings import AudioRecording, MidiRecording

from .simulated_clock import SimulatedClock
from .sounds import TONE_WEIGHTS
from .test_lost_places import disk, fill, root

RATE = 48_000


def notes_at(path: Path) -> list[tuple[float, float, int, int]]:
    return [(round(n.onset_s, 3), round(n.offset_s, 3), n.pitch, n.velocity) for n in read_midi(path)]


def test_midi_is_whole_after_every_flush(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.mid"
    recording = MidiRecording(path)
    assert notes_at(path) == []
    recording.add([NoteOn(1.0, 60, 80)])
    recording.flush(2.0)
    assert notes_at(path) == [(1.0, 2.0, 60, 80)]  # still down: ended where the recording ends
    recording.add([NoteOn(2.5, 64, 90), NoteOff(2.4, 60)])  # a stream's newest events come out of order
    recording.flush(60.0)
    recording.add([NoteOff(61.5, 64)])
    recording.close()
    recording.close()
    assert notes_at(path) == [(1.0, 2.4, 60, 80), (2.5, 61.5, 64, 90)]
    assert [file.name for file in path.parent.iterdir()] == ["out.mid"]


@given(st.data())
def test_midi_keeps_all_notes_however_it_is_flushed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mid"
    recording, expected, now_s = MidiRecording(path), [], 0.0
    for gap, length, pitch in data.draw(
        st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 900), st.integers(60, 63)), max_size=25)
    ):
        now_s = round(now_s + gap / 1000 + 1.0, 3)  # notes of one key do not overlap
        expected.append((now_s, round(now_s + length / 1000, 3), pitch, 64))
        recording.add([NoteOn(now_s, pitch, 64), NoteOff(now_s + length / 1000, pitch)])
        if data.draw(st.booleans()):
            recording.flush()
    recording.close()
    assert notes_at(path) == expected


def pedal_at(path: Path) -> list[tuple[float, int]]:
    at_s, found = 0.0, []
    for message in mido.MidiFile(path):
        at_s += message.time
        if message.type == "control_change":
            assert message.control == 64
            found.append((round(at_s, 3), message.value))
    return found


def test_the_pedal_is_whole_after_every_flush(tmp_path: Path) -> None:
    path = tmp_path / "out.mid"
    recording = MidiRecording(path)
    recording.add([Pedal(1.0, True)])
    recording.flush(3.0)
    assert pedal_at(path) == [(1.0, 127), (3.0, 0)]  # still down: up where the recording ends
    recording.add([NoteOn(3.4, 60, 80), Pedal(3.2, False), Pedal(3.5, True)])  # a little out of order
    recording.flush(9.0)
    assert pedal_at(path) == [(1.0, 127), (3.2, 0), (3.5, 127), (9.0, 0)]
    recording.add([NoteOff(9.5, 60), Pedal(9.75, False)])
    recording.close()
    assert pedal_at(path) == [(1.0, 127), (3.2, 0), (3.5, 127), (9.75, 0)]
    assert notes_at(path) == [(3.4, 9.5, 60, 80)]


def test_what_comes_at_one_moment_is_recorded_as_it_came(tmp_path: Path) -> None:
    recording = MidiRecording(tmp_path / "a.mid")
    recording.add([NoteOn(0.5, 60, 80), Pedal(1.0, True), NoteOff(1.0, 60), NoteOn(1.0, 60, 70)])
    recording.add([NoteOff(2.0, 60), Pedal(2.0, False), Pedal(2.0, True)])  # a gap, and it is down at once
    recording.add([NoteOn(2.0, 62, 80), NoteOff(2.0, 62), NoteOn(9.0, 64, 80)])
    recording.close()
    sent = [message.bytes()[:2] for message in mido.MidiFile(tmp_path / "a.mid") if not message.is_meta]
    assert sent[1:] == [
        *([0x90, 60], [0xB0, 64], [0x80, 60], [0x90, 60], [0x80, 60]),
        *([0xB0, 64], [0xB0, 64], [0x90, 62], [0x80, 62]),
        *([0x90, 64], [0x80, 64], [0xB0, 64]),
    ]
    assert pedal_at(tmp_path / "a.mid") == [(1.0, 127), (2.0, 0), (2.0, 127), (9.001, 0)]


def test_events_that_were_left_out_leave_nothing_hanging(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mid", None, RATE, SimulatedClock())
    recorder.events([NoteOn(1.0, 60, 80), Pedal(1.5, True)])
    for number in range(MOST_QUEUED):  # the disk does not answer
        recorder.audio(block(np.zeros(48), number / 1000))
    recorder.events([NoteOff(2.0, 60), Pedal(2.5, False)])
    recorder.events([NoteOn(2.7, 62, 80)])
    while recorder._queue.qsize():
        recorder.step()
    recorder.events([NoteOn(9.0, 64, 80), NoteOff(9.5, 64)])
    recorder.close()
    assert notes_at(tmp_path / "a.mid") == [(1.0, 2.0, 60, 80), (9.0, 9.5, 64, 80)]
    assert pedal_at(tmp_path / "a.mid") == [(1.5, 127), (2.0, 0)]


def test_hours_of_midi_can_be_read(tmp_path: Path) -> None:
    recording = MidiRecording(tmp_path / "a.mid")
    recording.add([NoteOn(5 * 3600.001, 60, 64), NoteOff(5 * 3600.25, 60)])
    recording.close()
    note = read_midi(tmp_path / "a.mid")[0]
    assert (note.onset_s, note.offset_s) == pytest.approx((5 * 3600.001, 5 * 3600.25), abs=0.0006)


def block(samples: np.ndarray, time_s: float, rate: int = RATE) -> Block:
    return Block(samples.astype(np.float32), time_s, 0, rate)


def sine(seconds: float, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def test_audio_can_be_read_while_it_is_being_written(tmp_path: Path) -> None:
    path, sound = tmp_path / "out.flac", sine(3)
    recording = AudioRecording(path, RATE)
    for first in range(0, len(sound), 480):
        recording.add(block(sound[first : first + 480], first / RATE))
    recording.flush()
    with open_recording(path) as found:  # as the offline reader judges it, not closed
        saved = np.concatenate(list(found.blocks()))
    assert len(sound) - 4096 - 1 <= len(saved) < len(sound)
    assert np.abs(saved - sound[: len(saved)]).max() < 1e-6
    recording.flush()
    recording.close()
    recording.close()
    assert soundfile.info(path).frames == len(sound)


def test_audio_that_was_lost_is_silence(tmp_path: Path) -> None:
    recording = AudioRecording(tmp_path / "out.flac", RATE)
    recording.add(block(sine(0.5), 0.0))
    recording.add(block(sine(0.5), 30.0))
    recording.close()
    saved, _ = soundfile.read(tmp_path / "out.flac")
    assert len(saved) == 30.5 * RATE
    assert not saved[RATE // 2 : 30 * RATE].any()
    assert np.abs(saved[30 * RATE :] - sine(0.5)).max() < 1e-6


def test_audio_keeps_its_rate_when_the_device_changes_its_own(tmp_path: Path) -> None:
    recording = AudioRecording(tmp_path / "out.flac", RATE)
    recording.add(block(sine(1), 0.0))
    for i in range(100):
        recording.add(block(sine(1, 44_100)[i * 441 : (i + 1) * 441], 1 + i / 100, 44_100))
    recording.close()
    saved, rate = soundfile.read(tmp_path / "out.flac")
    assert rate == RATE
    assert len(saved) == pytest.approx(2 * RATE, abs=10)
    middle = saved[RATE + 4800 : RATE + 4800 + 4800]
    assert np.argmax(np.abs(np.fft.rfft(middle * np.hanning(4800)))) == 44  # 440 Hz


def test_the_recorder_writes_as_it_goes_and_survives_the_disk(tmp_path: Path) -> None:
    clock, lines = SimulatedClock(), []
    recorder = Recorder(tmp_path / "a.mid", tmp_path / "a.flac", RATE, clock, lines.append)
    for i in range(300):
        recorder.audio(block(sine(0.01), i / 100))
        recorder.events([NoteOn(i / 100, 60, 80), NoteOff(i / 100 + 0.005, 60)] if i % 50 == 0 else [])
        clock.sleep(0.01)
        recorder.step()
        if i == 250:
            assert len(read_midi(tmp_path / "a.mid")) >= 5
            assert soundfile.info(tmp_path / "a.flac").duration > 1.5
    assert recorder._midi is not None

    def full(now_s: float | None = None) -> None:
        raise OSError(28, "No space left on device")

    recorder._midi.flush = full  # type: ignore[method-assign]
    for _ in range(3):
        clock.sleep(1)
        recorder.step()
    assert lines == [f"recording: {tmp_path / 'a.mid'}: No space left on device"]  # said once
    recorder.close()
    recorder.close()


def on_a_small_disk(place: Path, pages: int, freed: bool) -> tuple[Recorder, list[str]]:
    """Ten seconds of noise, with a note a second, recorded where so many pages are free."""
    fill(place / "filling", pages)
    clock, lines = SimulatedClock(), []
    recorder = Recorder(place / "a.mid", place / "a.flac", RATE, clock, lines.append)
    rng = np.random.default_rng(0)
    for i in range(500):
        recorder.audio(block(0.1 * rng.standard_normal(RATE // 50).astype(np.float32), i / 50))
        recorder.events([NoteOn(i / 50, 60, 80), NoteOff(i / 50 + 0.005, 60)] if i % 50 == 0 else [])
        clock.sleep(0.02)
        recorder.step()
    if freed:
        (place / "filling").unlink()
    recorder.close()
    recorder.close()
    return recorder, lines


@root
@pytest.mark.parametrize("freed", [False, True], ids=["full to the end", "with room again at the end"])
@pytest.mark.parametrize("pages", [12, 61, 300])
def test_a_disk_that_fills_up_leaves_what_was_recorded_before(
    tmp_path: Path, pages: int, freed: bool
) -> None:
    with disk(tmp_path / "disk", "2m"):
        place = tmp_path / "disk"
        recorder, lines = on_a_small_disk(place, pages, freed)
        assert f"recording: {place}/a.flac: No space left on device" in lines and len(lines) <= 2
        saved, _ = soundfile.read(place / "a.flac")
        holds = f"No space left on device; it holds the first {len(saved) / RATE:.1f} s"
        assert recorder.faults[-1] == f"{place}/a.flac: {holds}"
        # Noise at a tenth of full scale takes some 20 of its 24 bits a sample; a block holds 85 ms.
        assert pages * 4096 / (RATE * 3) - 0.2 < len(saved) / RATE < pages * 4096 / (RATE * 2)
        with open_recording(place / "a.flac") as recording:
            list(recording.blocks())
        assert recording.warnings == []
        notes = read_midi(place / "a.mid")
        if len(recorder.faults) == 1:  # as the broken block was cut off there was room for the notes again
            assert len(notes) == 10
        else:
            assert not freed and f"recording: {place}/a.mid: No space left on device" in lines
            good_s = float(recorder.faults[0].rpartition("first ")[2].removesuffix(" s"))
            assert len(notes) >= good_s and recorder.faults[0].startswith(f"{place}/a.mid: No space left")
        assert {path.name for path in place.iterdir()} <= {"a.mid", "a.flac", "filling"}


@root
@pytest.mark.parametrize("pages", [0, 1])
def test_a_disk_that_is_full_from_the_start_is_said_and_nothing_is_left(tmp_path: Path, pages: int) -> None:
    with disk(tmp_path / "disk", "1m"):
        fill(tmp_path / "disk" / "filling", pages)
        with pytest.raises(OSError, match=r"No space left on device: '.*/a\.(mid|flac)'"):
            on_a_small_disk(tmp_path / "disk", pages, freed=False)
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["filling"]


@root
def test_live_plays_on_over_a_full_disk_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "draw_piano_roll", lambda part, *_: part.write_bytes(bytes(1 << 20)))
    with disk(tmp_path / "disk", "256k"):
        place, sound = tmp_path / "disk", 0.1 * np.random.default_rng(0).standard_normal(RATE)
        soundfile.write(tmp_path / "noise.wav", sound, RATE)
        fill(place / "filling", 12)
        command = ["live", "--from-file", str(tmp_path / "noise.wav"), "--output", "none", "--plot"]
        command += ["--checkpoint", str(TONE_WEIGHTS)]
        command += ["--record", str(place / "a.mid"), "--record-audio", str(place / "a.flac")]
        done = CliRunner().invoke(app, command)
        saved, _ = soundfile.read(place / "a.flac")
        assert done.exit_code == 1 and "\nended after " in done.stdout and "picture" not in done.stdout
        lines = done.stderr.splitlines()
        assert f"recording: {place}/a.flac: No space left on device" in lines
        holds = f"No space left on device; it holds the first {len(saved) / RATE:.1f} s"
        assert f"error: {place}/a.flac: {holds}" in lines
        assert f"error: cannot write {place}/a.png: No space left on device" in lines
        read_midi(place / "a.mid")


def test_a_take_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "take.mid"
    assert unused(path) == path
    for number in (2, 3):
        unused(path).write_bytes(b"music")
        assert unused(path) == tmp_path / f"take-{number}.mid"


def test_the_recorder_is_bounded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.mid", None, RATE, SimulatedClock())
    for _ in range(MOST_QUEUED + 5):
        recorder.events([NoteOff(0.0, 60)])
    assert recorder.left_out == 5


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        Recorder(tmp_path / "file" / "a.mid", None, RATE, SimulatedClock())
