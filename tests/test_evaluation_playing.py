"""``hppnet evaluate --playing``: the phrases are what they say, and each is scored by itself."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from hppnet.model.timebase import SAMPLE_RATE
from hppnet.model.transcriber import Transcriber
from hppnet.training.evaluate import playing
from hppnet.training.evaluate.playing import PHRASES, chords, restrikes, single

from .evaluation_parts import RATE, hear_clicks, run, scores_of
from .needs import SOUND_FONTS, needs

RUNS = ["hppnet 52 ms", "hppnet 92 ms", "hppnet 132 ms", "hppnet"]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def font(tmp_path: Path) -> Path:
    path = tmp_path / "font.sf2"
    path.touch()
    return path


def clicked(midi: mido.MidiFile, _: Path) -> np.ndarray:
    """In FluidSynth's place: as ``Clicks`` understands it, and velocities up to 30 make no sound."""
    sound = np.zeros(round(RATE * (midi.length + 1)), dtype=np.float32)
    at_s = 0.0
    for message in midi:
        at_s += message.time
        if message.type == "note_on" and message.velocity > 30:
            sound[round(at_s * RATE)] = message.note / 128
    return sound


def test_phrases_are_what_they_say() -> None:
    again = restrikes(rng(), 8)
    for pitch in {note.pitch for note in again}:
        onsets = [note.onset_s for note in again if note.pitch == pitch]
        assert len(onsets) == 8 and np.allclose(np.diff(onsets), 1 / 8)
    for keys in (2, 10):
        found = chords(rng(), keys)
        for number in range(12):
            chord = [note for note in found if abs(note.onset_s - 0.9 * number) < 0.02]
            assert len({note.pitch for note in chord}) == keys
            assert min(np.diff(sorted(note.pitch for note in chord))) >= 2
            assert all(36 <= note.pitch <= 96 for note in chord)
    soft = single(rng(), (40, 88), (10, 30))
    assert {note.velocity for note in soft} <= set(range(10, 31))
    names = list(PHRASES)
    assert [note.pitch for note in PHRASES[names[-2]](rng()) if not 21 <= note.pitch <= 35] == []
    assert [note.pitch for note in PHRASES[names[-1]](rng()) if not 96 <= note.pitch <= 108] == []
    for play in PHRASES.values():
        notes = play(rng())
        assert notes == sorted(notes) == play(rng())


def test_each_phrase_is_scored_by_itself(font: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(playing, "render", clicked)
    hear_clicks(monkeypatch)
    report = scores_of("--playing", "--soundfont", font)
    assert list(report["runs"]) == RUNS and report["settings"]["soundfont"] == "font.sf2"
    for figures in report["runs"].values():
        recall = {name: scores["onset_10ms"]["r"] for name, scores in figures["files"].items()}
        assert recall == {name: 0 if name.startswith("soft") else 100 for name in PHRASES}
        assert all(s["onset_50ms"]["p"] in (0, 100) for s in figures["files"].values())
    table = run("--playing", "--soundfont", font)
    assert table.exit_code == 0, table.output
    rows = [line for line in table.stdout.splitlines() if line.split("  ")[0].strip() in PHRASES]
    assert [row.split("  ")[0].strip() for row in rows] == list(PHRASES)
    assert rows[0].split()[-8:] == ["100.0"] * 8 and "played by font.sf2" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--playing", "--soundfont", "no.sf2"], 2, "no.sf2: no such file"),
        (["--soundfont", "font.sf2", "."], 2, "--soundfont is for --playing"),
        (["--playing", "--soundfont", "font.sf2", "."], 2, "leave out DATA"),
        (["--playing", "--soundfont", "font.sf2", "--latency", "all"], 2, "leave out --latency"),
        (["--playing"], 1, "--playing needs a sound font: name one with --soundfont"),
    ],
)
def test_wrong_use_is_one_line(
    font: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.setattr(playing, "SOUND_FONT_FOLDERS", ())
    monkeypatch.chdir(font.parent)
    done = run(*arguments)
    assert done.exit_code == code and message in done.stderr and done.stderr.count("\n") == 1


@needs("fluidsynth")
def test_fluidsynth_plays_a_phrase(
    monkeypatch: pytest.MonkeyPatch, transcriber: Transcriber, tmp_path: Path
) -> None:
    few = {name: PHRASES[name] for name in list(PHRASES)[:2]}
    monkeypatch.setattr(playing, "PHRASES", few)
    pairs = playing.rendered(SOUND_FONTS[0], tmp_path)
    assert [pair.name for pair in pairs] == list(few)
    for pair in pairs:
        sound, rate = soundfile.read(pair.recording)
        assert rate == SAMPLE_RATE and pair.played is not None
        first = int(np.flatnonzero(np.abs(sound) > 0.01)[0]) / rate
        assert first == pytest.approx(pair.played[0].onset_s, abs=0.05)
