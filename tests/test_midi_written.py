"""MIDI as it is written: what stock programs read, notes that never overlap, any length and any script."""

from __future__ import annotations

import struct
from pathlib import Path

import mido
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model import midi_file
from hppnet.model.notes import (
    Note,
    NoteOff,
    NoteOn,
    Pedal,
    Press,
    read_midi,
    read_pedal,
    without_overlaps,
    write_midi,
)
from hppnet.realtime.recordings import MidiRecording
from hppnet.training.data.performances import presses_of

QUICK = settings(max_examples=40, derandomize=True)
HOUR_S = 3600.0
STOCK_TICKS = 1e7  # pretty_midi.MAX_TICK as it comes

NEAR = st.one_of(st.floats(0, 20), st.integers(0, 40_000).map(lambda tick: tick / 2000))
FAR = st.one_of(NEAR, st.just(9_990.0))  # where a tick is a millisecond
LENGTHS = st.one_of(st.just(0.0), st.floats(0, 0.002), st.floats(0, 3))


def notes_at(times: st.SearchStrategy[float]) -> st.SearchStrategy[list[Note]]:
    pitches, velocities = st.sampled_from([21, 60, 61, 108]), st.integers(0, 127)
    make = lambda on_s, length_s, pitch, velocity: Note(on_s, on_s + length_s, pitch, velocity)  # noqa: E731
    return st.lists(st.builds(make, times, LENGTHS, pitches, velocities), max_size=12)


def presses_at(times: st.SearchStrategy[float]) -> st.SearchStrategy[list[Press]]:
    make = lambda down_s, length_s: Press(down_s, down_s + length_s)  # noqa: E731
    return st.lists(st.builds(make, times, LENGTHS), max_size=6)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("midi") / "a.mid"


def stock(path: Path) -> pretty_midi.PrettyMIDI:
    assert pretty_midi.pretty_midi.MAX_TICK == STOCK_TICKS  # nothing here raises it for the user
    return pretty_midi.PrettyMIDI(str(path))


def played(path: Path) -> list[tuple[int, mido.Message]]:
    """(tick, message) of the notes and the pedal, in the file's order."""
    tick, out = 0, []
    for message in mido.MidiFile(path).tracks[0]:
        tick += message.time
        if not message.is_meta and message.type != "program_change":
            out.append((tick, message))
    return out


@QUICK
@given(notes=notes_at(FAR), presses=presses_at(FAR))
def test_every_note_written_is_read_back(path: Path, notes: list[Note], presses: list[Press]) -> None:
    write_midi(notes, path, presses)
    again, a_second = read_midi(path), midi_file.ticks_a_second(mido.MidiFile(path).ticks_per_beat)
    assert a_second >= 1000
    struck = {(note.pitch, midi_file.nearest_tick(note.onset_s, a_second)) for note in notes}
    assert {(note.pitch, round(note.onset_s * a_second)) for note in again} == struck
    assert len(again) == len(struck) and again == without_overlaps(again)
    for note in notes:  # an end stays where it was, or where its key is struck again, or a tick behind it
        on = midi_file.nearest_tick(note.onset_s, a_second)
        found = next(n for n in again if (n.pitch, round(n.onset_s * a_second)) == (note.pitch, on))
        following = min((o for p, o in struck if p == note.pitch and o > on), default=float("inf"))
        wanted = max(on + 1, min(midi_file.nearest_tick(note.offset_s, a_second), following))
        assert round(found.offset_s * a_second) >= min(wanted, following)


@QUICK
@given(notes=notes_at(NEAR), presses=presses_at(NEAR))
def test_stock_pretty_midi_reads_the_same(path: Path, notes: list[Note], presses: list[Press]) -> None:
    write_midi(notes, path, presses)
    piano = stock(path).instruments
    presses = read_pedal(path) if notes else []  # of a track without notes pretty_midi keeps nothing
    theirs = sorted((n.pitch, n.start, n.end, n.velocity) for i in piano for n in i.notes)
    ours = sorted((n.pitch, n.onset_s, n.offset_s, n.velocity) for n in read_midi(path))
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    changes = [(round(c.time, 6), c.value) for i in piano for c in i.control_changes]
    pedal = [(s, value) for press in presses for s, value in ((press.down_s, 127), (press.up_s, 0))]
    assert changes == [(round(s, 6), value) for s, value in pedal]


@QUICK
@given(notes=notes_at(FAR), presses=presses_at(FAR))
def test_no_key_is_down_twice_and_ends_come_first(
    path: Path, notes: list[Note], presses: list[Press]
) -> None:
    write_midi(notes, path, presses)
    down: dict[int, int] = {}
    for tick, message in played(path):
        if message.type == "note_on":
            assert message.note not in down
            down[message.note] = tick
        elif message.type == "note_off":
            assert tick > down.pop(message.note)
    assert not down
    ticks = [(tick, ("note_off", "control_change", "note_on").index(m.type)) for tick, m in played(path)]
    assert ticks == sorted(ticks)
    assert [m.value for _, m in played(path) if m.type == "control_change"] == [127, 0] * len(
        read_pedal(path)
    )


@pytest.mark.parametrize("end_s", [60.0, 4_999.0, 5_001.0, 2.77 * HOUR_S])
def test_ticks_are_few_enough_for_stock_pretty_midi(path: Path, end_s: float) -> None:
    write_midi([Note(0.25, 1.0, 60, 80), Note(end_s - 1, end_s, 61, 81)], path)
    last = stock(path).instruments[0].notes[-1]
    assert (last.start, last.end) == pytest.approx((end_s - 1, end_s), abs=5.01e-4)  # half a tick of 1 ms


def test_ten_hours_keep_a_millisecond_and_are_read_back(path: Path) -> None:
    notes = [Note(at, at + 0.1234, 21 + at % 88, 64) for at in range(0, round(10 * HOUR_S), 60)]
    write_midi(notes, path, [Press(9 * HOUR_S, 9.5 * HOUR_S)])
    for one, other in zip(read_midi(path), notes, strict=True):
        assert one.onset_s == pytest.approx(other.onset_s, abs=5.01e-4)
        assert one.offset_s == pytest.approx(other.offset_s, abs=5.01e-4)
    assert read_pedal(path) == [Press(9 * HOUR_S, 9.5 * HOUR_S)]
    assert mido.MidiFile(path).ticks_per_beat == midi_file.COARSE


@pytest.mark.parametrize(
    "text",
    ["Für Elise", "月光", "Лунная", "سوناتا", "🎹 \u0301", "a\nb", "x" * 300, "", "caf\udce9"],
)
def test_text_of_any_script_comes_back(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"{text[:20]}.mid".replace("\n", " ")
    write_midi([Note(0, 1, 60, 64)], path, text=[text, "second"])
    # A byte that is not UTF-8, of a Latin-1 file name, stays as it is.
    assert texts_of(path) == [text.encode("utf-8", "surrogateescape"), b"second"]
    assert len(stock(path).instruments[0].notes) == 1  # which takes it for Latin-1 and does not mind
    assert len(read_midi(path)) == 1


def texts_of(path: Path) -> list[bytes]:
    """The text events of a file."""
    found = (message for *_, message in midi_file.messages(path) if message.type == "text")
    return [message.text.encode("latin-1") for message in found]


def test_what_is_no_text_does_not_stop_the_writing(path: Path) -> None:
    write_midi([], path, text=["a\ud800"])
    assert texts_of(path) == [b"a?"]


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (Note(-1.0, 1.0, 60, 64), "a note with 0 s <= start"),
        (Note(2.0, 1.0, 60, 64), "start <= end"),
        (Note(float("nan"), 1.0, 60, 64), "0 s <= start"),
        (Note(0.0, float("inf"), 60, 64), "end <= 268435 s"),
        (Note(0.0, 1.0, 128, 64), "pitch from 0 to 127, got 128"),
        (Note(0.0, 1.0, 60, -1), "velocity from 0 to 127, got -1"),
        (Note(0.0, 1.0, 60.5, 64), "pitch from 0 to 127"),  # type: ignore[arg-type]
        (Press(1.0, 0.5), "a press with 0 s <= start"),
    ],
)
def test_what_midi_cannot_hold_is_refused_and_nothing_replaced(tmp_path: Path, note, words: str) -> None:
    (tmp_path / "a.mid").write_bytes(b"before")
    with pytest.raises(ValueError, match=words) as caught:
        write_midi(
            *(([note],) if isinstance(note, Note) else ([],)),
            tmp_path / "a.mid",
            [note][isinstance(note, Note) :],
        )
    assert "\n" not in str(caught.value) and (tmp_path / "a.mid").read_bytes() == b"before"


# --- live recordings ---


def test_a_live_recording_gives_every_note_a_length(tmp_path: Path) -> None:
    recording = MidiRecording(tmp_path / "a.mid")
    recording.add([NoteOn(1.0, 60, 80), NoteOff(1.0001, 60), Pedal(1.0, True), Pedal(1.0001, False)])
    recording.add([NoteOn(1.0002, 60, 81), NoteOff(1.5, 60), NoteOn(2.0, 62, 82), NoteOff(2.0, 62)])
    recording.close()
    read = [(n.pitch, n.velocity) for n in read_midi(tmp_path / "a.mid")]
    assert read == [(60, 80), (60, 81), (62, 82)]
    assert sorted((n.pitch, n.velocity) for n in stock(tmp_path / "a.mid").instruments[0].notes) == sorted(
        read
    )
    assert len(read_pedal(tmp_path / "a.mid")) == 1


# --- files of other programs ---


def chunk(*events: bytes, division: int = 480, kind: int = 0) -> bytes:
    track = b"".join(events) + midi_file.END_OF_TRACK
    header = struct.pack(">4sIHHh", b"MThd", 6, kind, 1, division)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


ON, OFF = b"\x00\x90\x3c\x40", b"\x83\x60\x80\x3c\x40"  # off 480 ticks later
TEMPO_1_S = b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3, "big")
AGAIN_THEN_OFF = b"\x83\x60\x90\x3c\x41\x00\x80\x3c\x40\x83\x60\x80\x3c\x40"


@pytest.mark.parametrize(
    ("data", "ends_s"),
    [
        (chunk(ON, OFF), [0.5]),
        (chunk(TEMPO_1_S, ON, OFF), [1.0]),
        (
            chunk(ON, b"\x81\x70\xff\x51\x03" + (1_000_000).to_bytes(3, "big"), b"\x81\x70\x80\x3c\x00"),
            [0.75],
        ),
        (chunk(ON, OFF, division=-(25 << 8) + 40), [0.48]),  # SMPTE: a millisecond a tick
        (chunk(TEMPO_1_S, ON, OFF, kind=2), [1.0]),
        (chunk(ON, AGAIN_THEN_OFF), [0.5, 1.0]),  # struck again before its release, at one tick
        (chunk(ON, OFF.replace(b"\x80\x3c", b"\x90\x3c").replace(b"\x40", b"\x00")), [0.5]),
        (chunk(ON.replace(b"\x90", b"\x99"), OFF.replace(b"\x80", b"\x89")), []),  # drums
        (chunk(b"\x00\xff\x01\x02\xe9\xff", ON, OFF), [0.5]),  # text that is no UTF-8
    ],
)
def test_files_of_other_programs(path: Path, data: bytes, ends_s: list[float]) -> None:
    path.write_bytes(data)
    assert [note.offset_s for note in read_midi(path)] == pytest.approx(ends_s)


def test_a_pedal_that_never_comes_up_is_down_to_the_end(path: Path) -> None:
    down, later = b"\x00\xb0\x40\x7f", b"\x83\x60"  # a quarter note later
    path.write_bytes(chunk(ON, OFF, down, later + b"\xff\x01\x00"))
    assert read_pedal(path) == [Press(0.5, 1.0)]
    assert presses_of(mido.MidiFile(path)) == [(0.5, 1.0)]  # as the labels have it


@QUICK
@given(
    at=st.integers(0, 80),
    byte=st.integers(0, 255),
    length=st.integers(0, 80),
)
def test_damaged_files_are_read_or_refused_in_a_line(path: Path, at: int, byte: int, length: int) -> None:
    data = bytearray(chunk(TEMPO_1_S, b"\x00\xff\x59\x02\x00\x00", ON, OFF))
    data[at % len(data)] = byte
    path.write_bytes(data[: len(data) - length // 2])
    try:
        read_midi(path), read_pedal(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: expected a MIDI file") and "\n" not in str(error)
