"""Signals to ``hppnet live`` in a process of its own: does it end in order, and are its recordings whole?"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from hppnet.model.notes import read_midi
from hppnet.processes import python
from hppnet.realtime.bench import READY

from .jack_peers import default_signals, environment
from .soak_session import replay

SIGNALS = tuple(name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL") if hasattr(signal, name))
LISTENS_S = (2.5, 6.0)  #: how long, at least and at most, before the signal comes
LOST_BY_KILL_S = 2.0
ENDS_WITHIN_S = 15.0


def send_signals(
    count: int,
    sound: np.ndarray,
    sample_rate: int,
    options: Sequence[str] = (),
    seed: int = 1,
    report: Callable[[str], object] = lambda stage: None,
    signals: Sequence[str] = SIGNALS,
) -> dict[str, list[str]]:
    """So many runs on a sound [n], each ended by a signal at random; signal -> what went wrong."""
    rng = np.random.default_rng(seed)
    wrong: dict[str, list[str]] = {name: [] for name in signals}
    for number in range(count):
        name = signals[number % len(signals)]
        report(f"{name}, {number + 1} of {count}")
        with tempfile.TemporaryDirectory() as folder:
            wrong[name] += _one(
                name, float(rng.uniform(*LISTENS_S)), Path(folder), sound, sample_rate, options
            )
    return wrong


def _one(
    name: str, listens_s: float, folder: Path, sound: np.ndarray, sample_rate: int, options: Sequence[str]
) -> list[str]:
    file, midi, audio = (folder / part for part in ("sound.wav", "notes.mid", "sound.flac"))
    soundfile.write(file, sound, sample_rate)
    command = python("-m", "hppnet", "live", "--from-file", str(file), "--output", "none")
    command += ["--record", str(midi), "--record-audio", str(audio), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), preexec_fn=default_signals
    ) as process:
        assert process.stdout is not None
        try:
            if not any(line.startswith(READY) for line in process.stdout):
                return ["it did not start"]
            time.sleep(listens_s)
            process.send_signal(getattr(signal, name))
            code = process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return [f"it did not end within {ENDS_WITHIN_S:g} s"]
        finally:
            process.kill()
    expected = -signal.SIGKILL if name == "SIGKILL" else 0
    wrong = [] if code == expected else [f"exit code {code}, expected {expected}"]
    return wrong + complaints(midi, audio, listens_s)


def complaints(midi: Path, audio: Path, listens_s: float) -> list[str]:
    """What is wrong with what was recorded while it listened."""
    try:
        notes, recorded = read_midi(midi), replay(midi)
        samples, rate = soundfile.read(audio)
    except (ValueError, soundfile.LibsndfileError) as error:
        return [f"a recording cannot be read: {error}"]
    wrong = []
    recorded_s = len(samples) / rate
    if recorded_s < listens_s - LOST_BY_KILL_S:
        wrong.append(f"{recorded_s:.1f} s of sound recorded of {listens_s:.1f} s")
    if any(note.offset_s > recorded_s + LOST_BY_KILL_S for note in notes):
        wrong.append("a recorded note lasts longer than the recorded sound")
    if recorded.hangs:
        wrong.append("the MIDI recording leaves a key or the pedal down")
    return wrong
