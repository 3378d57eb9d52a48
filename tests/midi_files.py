"""MIDI files that tests make themselves, with a pedal."""

from __future__ import annotations

from pathlib import Path

import mido

TICKS_A_SECOND = 1000

#: Seconds, and what happens then: ("on", pitch, velocity), ("off", pitch) or ("pedal", value).
Happening = tuple[float, tuple[str, int] | tuple[str, int, int]]


def performance(happenings: list[Happening], end_s: float = 0.0, channel: int = 0) -> mido.MidiFile:
    """A performance of type 0 at a thousand ticks a second; what happens at one time stays in its order."""
    midi = mido.MidiFile(type=0, ticks_per_beat=TICKS_A_SECOND // 2)  # at 120 beats a minute
    track = mido.MidiTrack()
    now = 0
    for at_s, what in sorted(happenings, key=lambda happening: happening[0]):
        ticks = round(at_s * TICKS_A_SECOND)
        track.append(_message(what, channel).copy(time=ticks - now))
        now = ticks
    track.append(mido.MetaMessage("end_of_track", time=max(0, round(end_s * TICKS_A_SECOND) - now)))
    midi.tracks.append(track)
    return midi


def _message(what: tuple[str, int] | tuple[str, int, int], channel: int) -> mido.Message:
    kind, number, *velocity = what
    if kind == "pedal":
        return mido.Message("control_change", control=64, value=number, channel=channel)
    return mido.Message(f"note_{kind}", note=number, velocity=velocity[0] if velocity else 0, channel=channel)


def pedalled(path: Path) -> None:
    """C4 (0.2 to 0.4 s, held by the pedal to 1.2 s) and E4 (0.5 to 0.8 s, struck again at 1.0, to 1.1)."""
    performance(
        [
            *((0.1, ("pedal", 100)), (1.2, ("pedal", 0))),
            *((0.2, ("on", 60, 70)), (0.4, ("off", 60))),
            *((0.5, ("on", 64, 50)), (0.8, ("off", 64))),
            *((1.0, ("on", 64, 90)), (1.1, ("off", 64))),
        ],
        end_s=1.3,
    ).save(path)


KEYS = [(0.2, 0.4, 60, 70), (0.5, 0.8, 64, 50), (1.0, 1.1, 64, 90)]
SOUNDING = [(0.2, 1.2, 60, 70), (0.5, 1.0, 64, 50), (1.0, 1.2, 64, 90)]
