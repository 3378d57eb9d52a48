"""The process that the sound library runs in, with a stand-in for the library: it may crash and hang."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hppnet import system
from hppnet.realtime import sound_process
from hppnet.realtime.audio_input import AudioInput
from hppnet.realtime.inputs import Block, InputFault
from hppnet.realtime.sound_process import SoundProcess

from . import children

#: A sound library with one device, whose blocks count up; FAKE_SOUND says how it fails.
LIBRARY = """
import os, threading, time
from types import SimpleNamespace
import numpy as np

class PortAudioError(Exception):
    pass

default = SimpleNamespace(device=[0, -1])
how = os.environ.get("FAKE_SOUND", "")

def query_devices():
    print("a driver that chatters on standard output")
    if how == "none":
        return []
    return [dict(name="Fake", hostapi=0, max_input_channels=2, default_samplerate=16000.0)]

def query_hostapis():
    return [dict(name="System", default_input_device=0, devices=[0])]

class InputStream:
    active = False

    def __init__(self, callback, channels, **options):
        if how == "refuse":
            raise PortAudioError("Device unavailable")
        self.callback, self.channels = callback, channels

    def start(self):
        self.active = True
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        for i in range(10 ** 6):
            if how == "crash" and i == 5:
                os._exit(139)
            if how == "stop" and i == 5:
                self.active = False
                return
            data = np.full((160, self.channels), i / 1e6, dtype=np.float32)
            self.callback(data, 160, None, SimpleNamespace(input_overflow=i == 3))
            time.sleep(0.01)

    def abort(self):
        while how == "hang":
            time.sleep(1)
"""


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))


def hear(source: AudioInput, count: int) -> list[Block]:
    blocks: list[Block] = []
    while len(blocks) < count:
        blocks += source.read(1.0)
    return blocks


def test_blocks_come_through_whole() -> None:
    with AudioInput() as source:
        assert (source.name, source.sample_rate) == ("Fake (System)", 16_000)
        blocks = hear(source, 20)
    assert [float(block.samples[0]) for block in blocks] == pytest.approx(
        [i / 1e6 for i in range(len(blocks))]
    )
    assert all(len(block.samples) == 160 and np.ptp(block.samples) == 0 for block in blocks)
    assert [block.time_s for block in blocks[:3]] == pytest.approx([0.0, 0.01, 0.02])


def test_it_runs_before_the_session() -> None:
    with system.before_other_programs() as granted, AudioInput() as source:
        if not granted:
            pytest.skip("the system grants no real-time priority")
        child = source._library._child._process.pid
        assert os.sched_getparam(child).sched_priority > os.sched_getparam(0).sched_priority


@pytest.mark.skipif(os.name == "nt", reason="sessions are POSIX's")
def test_the_terminals_ctrl_c_does_not_reach_it() -> None:
    with AudioInput() as source:
        assert os.getsid(source._library._child._process.pid) != os.getsid(0)


def test_losses_that_the_device_reports_come_through() -> None:
    lossy: list[bool] = []
    enough = threading.Event()

    def keep(data: np.ndarray, frames: int, times: object, status: Any) -> None:
        lossy.append(status.input_overflow)
        if len(lossy) == 10:
            enough.set()

    stream = SoundProcess().InputStream(keep, channels=2)
    stream.start()
    assert enough.wait(children.PATIENCE_S)
    stream.close()
    assert lossy[:10] == [number == 3 for number in range(10)]


@pytest.mark.parametrize("how", ["crash", "stop"])
def test_a_library_that_dies_is_started_anew(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("FAKE_SOUND", how)
    source = AudioInput("fake")
    source.open()
    with pytest.raises(InputFault, match="has stopped"):
        hear(source, 100)
    source.close()
    monkeypatch.setenv("FAKE_SOUND", "")
    source.open()
    assert hear(source, 3)[0].time_s > 0.04
    source.close()


def test_a_library_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SOUND", "hang")
    source = AudioInput()
    source.open()
    process = source._library._child._process
    source.close()
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("how", "expected"), [("refuse", "Device unavailable"), ("none", "no sound input found")]
)
def test_what_cannot_be_opened_is_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, how: str, expected: str
) -> None:
    monkeypatch.setenv("FAKE_SOUND", how)
    source = AudioInput()
    for _ in range(2):
        with pytest.raises(InputFault, match=expected):
            source.open()
    monkeypatch.setenv("FAKE_SOUND", "")
    source.open()
    source.close()
    source.close()


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    with pytest.raises(InputFault, match="apt-get install libportaudio2"):
        SoundProcess()
    (tmp_path / "sounddevice.py").write_text("raise ImportError")
    with pytest.raises(InputFault, match="live extra"):
        SoundProcess()
    (tmp_path / "sounddevice.py").write_text("raise Exception('Unanticipated host error')")
    with pytest.raises(InputFault, match=r"does not start \(Unanticipated host error\)"):
        SoundProcess()


def test_a_process_that_cannot_be_started_is_a_fault_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    source = AudioInput()
    with monkeypatch.context() as patch:
        patch.setattr(sound_process, "python", lambda *arguments: ["/nowhere/python"])
        with pytest.raises(InputFault, match="cannot start the process that reads the sound device: No such"):
            source.open()
    source.open()  # tried again
    source.close()


def test_lines_are_not_lost_while_the_device_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start = SoundProcess._initialize

    def start_while_another_thread_reports(library: SoundProcess) -> None:
        os.write(2, b"port: Synth has gone\n")
        start(library)

    source = AudioInput()
    source.open()
    source.close()
    monkeypatch.setattr(SoundProcess, "_initialize", start_while_another_thread_reports)
    source.open()
    source.close()
    assert capfd.readouterr().err == "port: Synth has gone\n"
