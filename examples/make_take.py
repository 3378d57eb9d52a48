"""Makes the bundled recording: a short piece played from a score with a pianist's touch, and rendered.

The piece is Robert Schumann, "Von fremden Ländern und Menschen" (Kinderszenen op. 15 no. 1, 1838), once
through without the repeats. The score below holds the notes. This script adds the expression (tempo, balance
of the voices, spread chords, pedal), always in the same way, so the MIDI file is the same each time.
FluidSynth then plays it on the grand piano of FluidR3 (MIT licence).

    python examples/make_take.py                # take.mid and take.opus beside this script
    python examples/make_take.py --midi-only    # take.mid alone; needs no FluidSynth

It needs mido, numpy and soundfile (the plain install of hppnet has them) and, for the sound, FluidSynth and
the sound font (Debian: fluidsynth, fluid-soundfont-gm).
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mido
import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")  # where Debian and Ubuntu put it

# The score. A token is PITCHES:LENGTH, the length in twelfths of a beat (4 a triplet quaver, 6 a quaver,
# 9 a dotted quaver, 12, the default, a crotchet); "+" joins a chord, "r" is a rest, "|" a bar line.
MELODY = """
    B4 G5 | F#5:9 E5:3 D5 | B4 G5 | F#5:9 E5:3 D5 | B4 G5 | E5:9 D5:3 C5 | A4 D5 | B4:24 |
    G4+B4 A4+C5 | F#4+A4 G4+B4 | E4+G4 E4+A4 | D#4+F#4 D4+G4 | E4 F#4 | G4:9 A4:3 B4:9 C5:3 |
    D5 G5 | F#5:9 E5:3 D5 | B4 G5 | F#5:9 E5:3 D5 | B4 G5 | E5:9 D5:3 C5 | A4 D5 | B4:24
"""
TRIPLETS = """
    B3 D4 G4 Bb3 E4 G4 | A3 D4 F#4 C4 D4 A4 | B3 D4 G4 Bb3 E4 G4 | A3 D4 F#4 C4 D4 A4 |
    B3 D4 G4 G3 D4 G4 | G3 E4 G4 G3 C4 G4 | G3 C4 G4 F#3 C4 F#4 | D3 B3 G4 G3 B3 G4 |
    E3 B3 E4 A2 A3 E4 | D3 A3 D4 B2 G3 D4 | C3 G3 C4 F#2 F#3 C4 | B2 F#3 B3 G2 G3 B3 |
    C3 G3 C4 D3 A3 D4 | D3 G3 D4 G2 A3 D4 |
    B3 D4 G4 Bb3 E4 G4 | A3 D4 F#4 C4 D4 A4 | B3 D4 G4 Bb3 E4 G4 | A3 D4 F#4 C4 D4 A4 |
    B3 D4 G4 G3 D4 G4 | G3 E4 G4 G3 C4 G4 | G3 C4 G4 F#3 C4 F#4 | D3 B3 G4 r B3 G4
"""
BASS = """
    G3:6 r:6 C#3:6 r:6 | D3:6 r:6 F#3:6 r:6 | G3:6 r:6 C#3:6 r:6 | D3:6 r:6 F#3:6 r:6 |
    G3:6 r:6 B2:6 r:6 | C3:6 r:6 E3:6 r:6 | D3:6 r:6 D3:6 r:6 | G2:6 r:6 G3:6 r:6 |
    E3 A2 | D3:9 C3:3 B2 | C3 F#2 | B2:9 A2:3 G2 | C3 C3 | B2:9 A2:3 G2 |
    G3:6 r:6 C#3:6 r:6 | D3:6 r:6 F#3:6 r:6 | G3:6 r:6 C#3:6 r:6 | D3:6 r:6 F#3:6 r:6 |
    G3:6 r:6 B2:6 r:6 | C3:6 r:6 E3:6 r:6 | D3:6 r:6 D3:6 r:6 | G2+D3:24
"""

BARS = 22
BEATS = 2 * BARS
UNITS = 12  # units of score time per beat
BEAT_S = 60 / 73
LEAD_IN_S = 0.5
LAST_CHORD_S = 3.0  # how long the pedal holds the end
#: First beat and length in beats of each phrase. Each starts calmly, speeds up and slows down again.
PHRASES = ((0, 4), (4, 4), (8, 8), (16, 4), (20, 4), (24, 4), (28, 4), (32, 4), (36, 8))
#: Factors for beats that are lengthened: "ritard." and fermata before the return, and the close.
BROADENED = {24: 1.08, 25: 1.14, 26: 1.24, 27: 1.85, 28: 1.1, 40: 1.06, 41: 1.16, 42: 1.35, 43: 1.5}
#: MIDI velocity of each phrase's melody; a repeated phrase is softer.
LEVELS = (66, 59, 70, 62, 56, 60, 68, 60, 66)


@dataclass(frozen=True)
class Voice:
    """How one hand part is played."""

    score: str
    balance: int  #: velocity relative to the melody
    lag_s: float  #: delay after the beat; a melody stands out if it is slightly early
    legato: float  #: part of the written length for which the key stays down
    unit: int  #: length of a token without one


VOICES = (
    Voice(MELODY, balance=0, lag_s=-0.014, legato=1.03, unit=12),
    Voice(TRIPLETS, balance=-22, lag_s=0.004, legato=1.1, unit=4),
    Voice(BASS, balance=-12, lag_s=0.0, legato=0.97, unit=12),
)


@dataclass(frozen=True)
class Stroke:
    """One key going down and up."""

    start_s: float
    end_s: float
    pitch: int
    velocity: int


def pitch_number(name: str) -> int:
    """MIDI number of a name such as C#4; C4 is 60."""
    step = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[name[0]]
    return 12 * (int(name[-1]) + 1) + step + name.count("#") - name[1:].count("b")


def written(score: str, unit: int) -> Iterator[tuple[int, int, list[int]]]:
    """(start, length, pitches) of each chord of a voice, in twelfths of a beat; every bar must be full."""
    now = 0
    for number, bar in enumerate(score.split("|"), start=1):
        for token in bar.split():
            names, _, length_text = token.partition(":")
            length = int(length_text or unit)
            if names != "r":
                yield now, length, [pitch_number(name) for name in names.split("+")]
            now += length
        if now != number * 2 * UNITS:
            raise ValueError(f"bar {number} ends at {now}, expected {number * 2 * UNITS}")


def phrase_at(beat: float) -> tuple[int, float]:
    """Which phrase a beat belongs to, and how far into it: 0 at its start, 1 at its end."""
    for index, (first, beats) in enumerate(PHRASES):
        if first <= beat < first + beats:
            return index, (beat - first) / beats
    return len(PHRASES) - 1, 1.0


def beat_length_s(beat: float) -> float:
    _, along = phrase_at(beat)
    arch = 1.05 - 0.15 * math.sin(math.pi * min(1.0, along * 1.15))
    return BEAT_S * arch * BROADENED.get(int(beat), 1.0)


def clock() -> list[float]:
    """The time of each twelfth of a beat, in seconds: the sum of the beats' lengths."""
    times = [LEAD_IN_S]
    for unit in range(BEATS * UNITS):
        times.append(times[-1] + beat_length_s(unit / UNITS) / UNITS)
    return times


def loudness(beat: float, pitch: int) -> float:
    """The melody's velocity: it rises and falls within each phrase, and rises with the pitch."""
    phrase, along = phrase_at(beat)
    return LEVELS[phrase] + 7 * math.sin(math.pi * along) - 5 * along + 0.45 * (pitch - 72)


def play_voice(voice: Voice, times: list[float], hand: random.Random) -> Iterator[Stroke]:
    for start, length, pitches in written(voice.score, voice.unit):
        beat = start / UNITS
        held_s = (times[start + length] - times[start]) * voice.legato
        for place, pitch in enumerate(sorted(pitches)):
            spread_s = 0.011 * place  # no hand plays all keys of a chord at once
            start_s = times[start] + voice.lag_s + spread_s + hand.gauss(0, 0.004)
            below_top = 9 * (len(pitches) - 1 - place)  # the top note of a chord is the tune
            level = loudness(beat, max(pitch, 60)) + voice.balance - below_top + hand.gauss(0, 1.8)
            yield Stroke(start_s, start_s + held_s, pitch, round(min(max(level, 18), 110)))


def one_key_one_note(strokes: list[Stroke]) -> list[Stroke]:
    """Merges notes that two voices play on one key; releases a key still down before its next note."""
    kept: list[Stroke] = []
    for stroke in sorted(strokes, key=lambda s: (s.pitch, s.start_s)):
        before = kept[-1] if kept and kept[-1].pitch == stroke.pitch else None
        if before and stroke.start_s - before.start_s < 0.06:
            loudest = max(before.velocity, stroke.velocity)
            kept[-1] = replace(before, end_s=max(before.end_s, stroke.end_s), velocity=loudest)
            continue
        if before and before.end_s > stroke.start_s - 0.04:
            kept[-1] = replace(before, end_s=stroke.start_s - 0.04)
        kept.append(stroke)
    return sorted(kept, key=lambda s: s.start_s)


def pedal(times: list[float]) -> Iterator[tuple[float, int]]:
    """(time, position 0-127) of the sustain pedal: lifted just after each new harmony, then down again.

    The pedal takes a few positions on the way up and down. In the quiet middle part it rises only half way
    at the weak beats, so that some of the old harmony stays. It stays down through the last bar.
    """
    for beat in range(BEATS - 1):
        now = times[beat * UNITS]
        highest = 44 if 16 <= beat < 24 and beat % 2 else 0
        if beat:
            for step, position in enumerate((104, 72, highest)):
                yield now - 0.01 + 0.018 * step, max(position, highest)
        for step, position in enumerate((38, 76, 108, 127)):
            yield now + 0.11 + 0.022 * step, position
    end_s = times[-1] + LAST_CHORD_S
    for step, position in enumerate((96, 64, 40, 18, 0)):  # let go slowly at the end
        yield end_s + 0.05 * step, position


def play() -> mido.MidiFile:
    """The performance, in real time: 960 ticks a second, one track."""
    times = clock()
    hand = random.Random(15)
    strokes = one_key_one_note([s for voice in VOICES for s in play_voice(voice, times, hand)])
    events = [(at, mido.Message("control_change", control=64, value=value)) for at, value in pedal(times)]
    for stroke in strokes:
        events.append((stroke.start_s, mido.Message("note_on", note=stroke.pitch, velocity=stroke.velocity)))
        events.append((stroke.end_s, mido.Message("note_off", note=stroke.pitch, velocity=64)))
    midi = mido.MidiFile(type=0, ticks_per_beat=480)
    title = "Schumann, op. 15 no. 1, Von fremden Ländern und Menschen"
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=title), mido.MetaMessage("set_tempo")])
    tick = 0
    for at, message in sorted(events, key=lambda event: event[0]):
        next_tick = round(at * 960)
        track.append(message.copy(time=next_tick - tick))
        tick = next_tick
    midi.tracks.append(track)
    return midi


def render(midi_path: Path, sound_font: Path) -> tuple[np.ndarray, int]:
    """A MIDI file's sound [samples, 2], with some reverberation, and its sample rate."""
    room = {"room-size": 0.45, "damp": 0.5, "width": 0.6, "level": 0.25}
    options = [f"-osynth.reverb.{name}={value}" for name, value in room.items()]
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "take.wav"
        command = ["fluidsynth", "-ni", "-q", "-R", "1", "-C", "0", "-r", "48000", "-g", "0.6", *options]
        command += ["-O", "float", "-T", "wav", "-F", str(wav), str(sound_font), str(midi_path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return soundfile.read(wav, always_2d=True)


def finish(sound: np.ndarray, rate: int, end_s: float) -> np.ndarray:
    """Scales the peak to -4 dBFS and fades the reverberation out after the last note."""
    sound = sound[: round((end_s + 1.2) * rate)] * (10 ** (-4 / 20) / np.abs(sound).max())
    fade = round(0.8 * rate)
    sound[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade))[:, None] ** 2
    return sound


def write_opus(sound: np.ndarray, rate: int, path: Path, compression: float) -> None:
    """Writes second by second: libsndfile's Ogg encoders overflow the stack if a long take comes at once."""
    with soundfile.SoundFile(
        path, "w", rate, sound.shape[1], format="OGG", subtype="OPUS", compression_level=compression
    ) as file:
        for start in range(0, len(sound), rate):
            file.write(sound[start : start + rate])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Makes examples/take.mid and examples/take.opus.")
    parser.add_argument("--sound-font", type=Path, default=SOUND_FONT, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to; default: this script's")
    parser.add_argument("--midi-only", action="store_true", help="write take.mid, render nothing")
    parser.add_argument("--compression", type=float, default=0.9, help="0 largest to 1 smallest")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    midi = play()
    midi_path = arguments.out / "take.mid"
    midi.save(midi_path)
    print(f"{midi_path}: {midi.length:.1f} s")
    if arguments.midi_only:
        return 0
    if shutil.which("fluidsynth") is None or not arguments.sound_font.is_file():
        print(f"expected the program fluidsynth and the sound font {arguments.sound_font}", file=sys.stderr)
        return 1
    sound, rate = render(midi_path, arguments.sound_font)
    opus_path = arguments.out / "take.opus"
    write_opus(finish(sound, rate, midi.length), rate, opus_path, arguments.compression)
    print(f"{opus_path}: {opus_path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
