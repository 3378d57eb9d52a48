"""The page without a server in Firefox, where it is installed; what it hears comes over PulseAudio."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import soundfile

from hppnet.model.transcriber import Transcriber

from .children import wait_until
from .page_host import ONSETS, SMALL, hosted, written_page, written_take
from .rigs.firefox import FIREFOX, Page, firefox
from .rigs.pulse_server import has_pulse, play, pulse_server

pytestmark = [
    pytest.mark.needs("page runtime"),
    pytest.mark.skipif(FIREFOX is None, reason="Firefox is not installed: apt-get install firefox-esr"),
]

OPEN = """async (bytes) => {
    await hppnet.page.openFile(new File([new Uint8Array(bytes)], "take.wav"), 132);
    return hppnet.notes.map((note) => [note.onset_s, note.offset_s, note.pitch, note.velocity]);
}"""
PITCHES = "() => hppnet.notes.map((note) => note.pitch)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_page(tmp_path_factory.mktemp("static"), *SMALL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_take(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "profile"
    folder.mkdir()
    return folder


def test_a_recording_gives_the_notes_of_a_streamed_file(
    folder: Path, recording: Path, empty: Path, transcriber: Transcriber
) -> None:
    sound, rate = soundfile.read(recording, dtype="float32")
    wanted = sorted(transcriber.transcribe(sound, rate, latency_ms=132))
    with hosted(folder) as host, firefox(empty) as page:
        page.go_to(host.url)
        found = sorted(page.evaluate(OPEN, list(recording.read_bytes())))
    assert [tuple(note[2:]) for note in found] == [(note.pitch, note.velocity) for note in wanted]
    times = [(note.onset_s, note.offset_s) for note in wanted]
    assert [tuple(note[:2]) for note in found] == [pytest.approx(both, abs=0.001) for both in times]


@pytest.mark.skipif(not has_pulse(), reason="PulseAudio is not installed: apt-get install pulseaudio")
def test_what_a_microphone_hears_is_written_down(
    folder: Path, recording: Path, empty: Path, tmp_path: Path
) -> None:
    with pulse_server(tmp_path) as sound, hosted(folder) as host, firefox(empty, sound) as page:
        page.go_to(host.url)
        wait_until(lambda: page.shown("#state") == "Ready", "the network")
        page.click("#listen")
        wait_until(lambda: page.shown("#state") == "Listening", "the microphone")
        # Again and again: a busy machine drops sound on its way.
        wait_until(lambda: play(recording, sound) or len(_known(page)) >= 3, "notes")
        page.click("#listen")
        wait_until(lambda: page.shown("#state") != "Listening", "the end of the take")
        assert len(_known(page)) >= 3


def _known(page: Page) -> list[int]:
    """The pitches of the notes that are in the recording."""
    return [note for note in page.evaluate(PITCHES) if note in ONSETS.values()]


def test_without_a_sound_output_it_says_so(folder: Path, empty: Path, tmp_path: Path) -> None:
    """Firefox never starts its audio then."""
    nowhere = {**os.environ, "PULSE_SERVER": f"unix:{tmp_path}/none", "ALSA_CONFIG_PATH": "/dev/null"}
    fake = """() => {
        const { stream } = new AudioContext().createMediaStreamDestination();
        navigator.mediaDevices.getUserMedia = async () => stream;
    }"""
    with hosted(folder) as host, firefox(empty, nowhere) as page:
        page.go_to(host.url)
        wait_until(lambda: page.shown("#state") == "Ready", "the network")
        page.evaluate(fake)
        page.click("#listen")
        wait_until(lambda: "sound output" in page.evaluate("() => document.body.innerText"), "the line")
        assert page.shown("#listen") == "Listen"
