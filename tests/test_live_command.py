"""``hppnet live`` and ``hppnet devices`` as they are typed; signals and kill -9 in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import hppnet
from hppnet.cli import app
from hppnet.commands import live_run
from hppnet.commands.live_run import ending_signals
from hppnet.model.notes import read_midi
from hppnet.offline.reading import open_recording
from hppnet.realtime import devices, midi_ports
from hppnet.realtime.devices import SoundInput
from hppnet.realtime.inputs import FileInput, InputFault
from hppnet.realtime.listener import LiveTranscriber
from hppnet.realtime.midi_ports import MidiPort, PortFault

from . import children
from .live_fakes import sounding_after
from .sounds import TONE_WEIGHTS, piano_like

RUNNER = CliRunner()
SMALL = ["--checkpoint", str(TONE_WEIGHTS)]  #: so small that every machine keeps up
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
#: ``hppnet live`` whose port "none" writes what it is sent to the file named first.
SPYING = """
import sys
from hppnet.realtime.midi_ports import Nowhere
log = open(sys.argv.pop(1), "w", buffering=1)
Nowhere.send = lambda self, message: log.write(" ".join(map(str, message)) + "\\n")
from hppnet.cli import main
main()
"""


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of notes."""
    path = tmp_path_factory.mktemp("take") / "take.wav"
    sound = piano_like({0.3 + 0.35 * i: 55 + i % 12 for i in range(80)}, 30, 22_050)
    soundfile.write(path, sound, 22_050)  # resampled, as from a microphone
    return path


def live(take: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    arguments = ["live", "--from-file", str(take), "--output", "none", *SMALL, *options]
    command = [sys.executable, "-c", SPYING, folder / "port.txt", *arguments]
    return children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def sent(folder: Path) -> list[list[int]]:
    path = folder / "port.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [[int(number) for number in line.split()] for line in lines if line.count(" ") == 2]


def wait_for_notes(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    def there() -> bool:
        played = sum(message[0] == 0x90 for message in sent(folder))
        return played >= count and bool(sounding_after(sent(folder)))

    children.wait_until(there, f"{count} notes", process)


@POSIX
@pytest.mark.parametrize(
    "name",
    ["SIGINT", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGTERM", "SIGHUP"))],
)
def test_a_signal_ends_every_note_and_completes_the_recordings(take: Path, tmp_path: Path, name: str) -> None:
    options = ("--record", str(tmp_path / "a.mid"), "--record-audio", str(tmp_path / "a.flac"))
    process = live(take, tmp_path, *options)
    wait_for_notes(process, tmp_path, 6)
    process.send_signal(getattr(signal, name))
    out, error = process.communicate(timeout=children.PATIENCE_S)
    assert (process.returncode, error) == (0, "")
    messages = sent(tmp_path)
    assert sounding_after(messages) == set()
    assert messages[-2:] == [[0xB0, 64, 0], [0xB0, 123, 0]]
    assert "ended after" in out
    notes = read_midi(tmp_path / "a.mid")
    assert len(notes) >= 6
    with open_recording(tmp_path / "a.flac") as recording:  # holds all that the notes were found in
        heard_s = sum(len(block) for block in recording.blocks()) / recording.sample_rate
    # At the end an onset is told by as much of its sound as there is.
    assert heard_s > max(note.onset_s for note in notes)


@POSIX
def test_a_closed_terminal_does_not_end_what_nohup_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


class Failed:
    """A session whose input failed while the view was shown."""

    failure = OSError("the disk went away")

    def run(self, stop: object, watch: object) -> None:
        raise self.failure

    def stop(self) -> None: ...


def test_the_view_does_not_hide_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="the disk went away"):
        live_run._run(Failed(), threading.Event(), [], True, False)  # type: ignore[arg-type]


@POSIX
def test_kill_leaves_all_but_the_last_two_seconds(take: Path, tmp_path: Path) -> None:
    process = live(
        take, tmp_path, "--record", str(tmp_path / "a.mid"), "--record-audio", str(tmp_path / "a.flac")
    )
    wait_for_notes(process, tmp_path, 9)
    process.kill()
    process.communicate()
    received = sum(message[0] == 0x90 for message in sent(tmp_path))
    notes = read_midi(tmp_path / "a.mid")
    assert len(notes) >= received - 2 / 0.35 - 1  # a note each 0.35 s
    last_s = 0.3 + 0.35 * (received - 1)
    with open_recording(tmp_path / "a.flac") as recording:
        assert recording.duration_s is not None and recording.duration_s > last_s - 2
        sound = np.concatenate(list(recording.blocks()))
    original, _ = soundfile.read(take, dtype="float32")
    assert np.abs(sound - original[: len(sound)]).max() < 1e-4


def test_a_file_is_played_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", piano_like({0.3: 60, 0.8: 64}, 1.6), 16_000)
    record = tmp_path / "out.mid"
    result = RUNNER.invoke(
        app,
        [
            *("live", "--from-file", str(tmp_path / "two.wav"), "--output", "none"),
            *("--record", str(record), *SMALL),
        ],
    )
    assert result.exit_code == 0, result.output
    heads = [line.split()[0] for line in result.output.splitlines()]
    assert heads == ["input", "port", "model", "device", "latency", "in", "record", "ended"]
    assert {note.pitch for note in read_midi(record)} >= {60, 64}


def test_quiet_says_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(1600), 16_000)
    arguments = ["live", "-q", "--from-file", str(tmp_path / "short.wav"), "--output", "none", *SMALL]
    result = RUNNER.invoke(app, arguments)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--latency", "100"], "52, 72, 92, 112, 132"),
        (["--latency", "slow"], "fast, balanced, accurate"),
        (["--tuning", "sharp"], "or auto"),
        (["--velocity-curve", "steep"], "soft, linear, hard"),
        (["--record", "out.wav"], "ends in .mid"),
        (["--record-audio", "out.wav"], "ends in .flac"),
        (["--output", "a", "--virtual", "b"], "got both"),
        (["--input", "a", "--from-file", "b.wav"], "got both"),
        (["--midi-channel", "17"], "16"),
        (["--transpose", "99"], "-60 to 60"),
    ],
)
def test_wrong_use_is_2_and_says_what_was_expected(options: list[str], expected: str) -> None:
    result = RUNNER.invoke(app, ["live", *options], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert expected in " ".join(result.output.replace("│", " ").split())


def test_the_old_name_of_midi_channel_works_and_says_the_new_one() -> None:
    result = RUNNER.invoke(app, ["live", "--channel", "17"], env={"COLUMNS": "200"})
    assert result.exit_code == 2 and "16" in result.output  # checked as --midi-channel is
    assert "--channel is now --midi-channel" in result.stderr


def no_inputs(library: object = None, refresh: bool = False) -> list[SoundInput]:
    return []


def no_sound_library() -> None:
    raise InputFault("the PortAudio library was not found")


class NoSound:
    def close(self) -> None: ...


def no_ports(system: str | None = None) -> list[MidiPort]:
    return []


def no_midi_library(system: str | None = None) -> list[MidiPort]:
    raise PortFault("MIDI ports need the live extra")


def test_without_a_port_one_line_and_1(take: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(midi_ports, "list_ports", no_ports)
    result = RUNNER.invoke(app, ["live", "--from-file", str(take)])
    assert result.exit_code == 1
    assert result.output.startswith("error: no MIDI port found") and result.output.count("\n") == 1


def test_without_an_input_one_line_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hppnet.realtime.audio_input.list_inputs", no_inputs)
    monkeypatch.setattr("hppnet.realtime.audio_input.SoundProcess", NoSound)
    result = RUNNER.invoke(app, ["live", "--output", "none"])
    assert result.exit_code == 1
    assert result.output.startswith("error: no sound input found") and result.output.count("\n") == 1


def test_a_file_that_is_no_sound_one_line_and_1(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_text("nothing")
    result = RUNNER.invoke(app, ["live", "--from-file", str(tmp_path / "no.wav"), "--output", "none"])
    assert result.exit_code == 1
    assert "no.wav" in result.output and result.output.count("\n") == 1


def test_devices_shows_what_live_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [SoundInput(0, "Mic", "ALSA", 1, 48_000), SoundInput(3, "USB", "ALSA", 2, 44_100, True)]
    monkeypatch.setattr(devices, "list_inputs", lambda: inputs)
    monkeypatch.setattr(devices, "sound_systems", lambda: ["ALSA"])
    monkeypatch.setattr(midi_ports, "list_ports", lambda: [MidiPort("Synth", "alsa")])
    monkeypatch.setattr(midi_ports, "midi_systems", lambda: ["alsa"])
    result = RUNNER.invoke(app, ["devices", "--json", "-"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert [row["name"] for row in found["inputs"] if row["taken"]] == ["USB"]
    assert found["ports"] == [{"name": "Synth", "system": "alsa", "taken": True}]
    assert [row["latency_ms"] for row in found["latencies"]] == [52, 92, 132]
    assert [row["name"] for row in found["compute"] if row["taken"]] == ["cpu"]
    shown = RUNNER.invoke(app, ["devices"]).output
    assert "*  3  USB" in shown and "Synth" in shown and "132 ms" in shown


def test_devices_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "sound_library", no_sound_library)
    monkeypatch.setattr(midi_ports, "list_ports", no_midi_library)
    result = RUNNER.invoke(app, ["devices"])
    assert result.exit_code == 0
    assert "PortAudio library was not found" in result.output
    assert "need the live extra" in result.output


def test_scores_of_the_checkpoint_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from hppnet.model import checkpoint

    network, config, _ = checkpoint.load()
    about = {"scores": {"52": 75.1, "132": 91.0}}
    monkeypatch.setattr(checkpoint, "load", lambda path=None: (network, config, about))
    shown = RUNNER.invoke(app, ["devices"]).output
    assert "75.1 % F1" in shown and "91.0 % F1" in shown


def test_the_pieces_are_there_from_python() -> None:
    sound = piano_like({0.3: 60, 0.8: 64}, 1.6)
    source = FileInput([sound], 16_000, speed=None)
    events = hppnet.live(source, checkpoint=TONE_WEIGHTS, latency_ms=92)
    assert isinstance(events, LiveTranscriber)
    assert {60, 64} <= {event.pitch for event in events if isinstance(event, hppnet.NoteOn)}
    assert {"live", "LiveTranscriber", "AudioInput", "MidiOutput"} <= set(dir(hppnet))
    with pytest.raises(ValueError, match="52, 72, 92"):
        list(hppnet.live(FileInput([sound], 16_000, speed=None), latency_ms=60))
