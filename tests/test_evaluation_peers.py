"""Programs that are compared: in processes of their own, measured; the peers themselves where installed."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note, Press
from hppnet.offline.reading import open_recording
from hppnet.training.evaluate import peers
from hppnet.training.evaluate.conditions import Conditions, Listening
from hppnet.training.evaluate.peers import ProgramLoadError, prediction
from hppnet.training.evaluate.programs import PeerProgram, transcribe_all, transcribe_in_processes
from hppnet.training.evaluate.recordings import Pair

from .evaluation_parts import run, two_recordings
from .peer_parts import HELD, Broken, Impulses
from .sounds import three_notes

EVENTS = [(0.25, -64, 3), (0.5, 60, 99), (0.5, -67, 127)]  #: start (s), pitch, velocity


@pytest.fixture
def pairs(tmp_path) -> list[Pair]:
    """Impulses at 0.5 and 2 s; and a file that is no sound."""
    sound = np.zeros(48_000, dtype=np.float32)
    sound[[8000, 32_000]] = 0.5
    soundfile.write(tmp_path / "a.wav", sound, 16_000)
    (tmp_path / "b.wav").write_text("no sound")
    return [Pair("a", tmp_path / "a.wav", []), Pair("b", tmp_path / "b.wav", [])]


def heard(peer: type, listening: Listening, pairs: list[Pair]) -> dict:
    load = partial(PeerProgram.load, peer, listening, open_recording)
    return {pair.name: answer for pair, answer in transcribe_in_processes(pairs, load, 1)}


def test_a_peer_is_heard_and_measured_in_its_own_process(pairs):
    answers = heard(Impulses, Listening(), pairs)
    (one,) = answers["a"]
    assert [note.onset_s for note in one.notes] == [0.5, 2.0] and one.run == "impulses"
    assert one.pedal == [Press(0.5, 1.0), Press(2.0, 2.5)]
    assert one.sound_s == 3.0 and one.wall_s > 0
    assert one.peak_mib is None or HELD / 2**20 < one.peak_mib < 400
    assert isinstance(answers["b"], str) and "b.wav" in answers["b"] and "\n" not in answers["b"]


def test_a_peer_hears_conditions_and_first_seconds(pairs):
    listening = Listening(first_s=1.5, conditions=Conditions(detune_cents=-100))
    (one,) = heard(Impulses, listening, pairs[:1])["a"]
    ratio = listening.conditions.time_ratio
    assert one.notes[0].onset_s == pytest.approx(0.5 * ratio, abs=1e-3)
    assert max(note.onset_s for note in one.notes) < 0.6 and one.sound_s == pytest.approx(
        1.5 * ratio, abs=1e-3
    )


def test_a_peer_that_cannot_be_loaded_says_why_in_a_line(pairs):
    with pytest.raises(ProgramLoadError, match=r"^OSError: no weights$"):
        heard(Broken, Listening(), pairs)


@pytest.mark.parametrize("name", peers.NAMES)
def test_a_missing_peer_is_named_with_the_command_that_installs_it(name, monkeypatch, tmp_path):
    for module in peers.make(name).needs:
        monkeypatch.setitem(sys.modules, module, None)
    result = run(two_recordings(tmp_path / "recordings"), "--model", name)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert f"--model {name} needs " in result.stderr and "pip install 'hppnet[peers]'" in result.stderr


@pytest.mark.parametrize("name", peers.NAMES)
def test_a_peer_says_what_it_costs(name: str) -> None:
    about = peers.make(name).about
    assert 0.1 < about.download_mb < 1000 and about.code_licence and about.weights_licence


def test_transkuns_pedal_is_told_from_its_notes_and_from_the_soft_pedal():
    events = [SimpleNamespace(start=s, end=s + 1, pitch=p, velocity=v) for s, p, v in EVENTS]
    assert prediction(events) == ([Note(0.5, 1.5, 60, 99)], [Press(0.25, 1.25)])


@pytest.mark.parametrize("name", peers.NAMES)
def test_an_installed_peer_hears_three_notes(name, tmp_path):
    if missing := peers.missing(peers.make(name)):
        pytest.skip(f"{', '.join(missing)} not installed")
    soundfile.write(tmp_path / "three.wav", three_notes(), 16_000)
    program = PeerProgram.load(partial(peers.make, name), Listening(), open_recording)
    ((_, (one,)),) = transcribe_all([Pair("three", tmp_path / "three.wav", [])], program)
    found = {note.pitch: note for note in reversed(one.notes)}  # the first of each key
    assert {60, 64, 67} <= set(found)
    for pitch, onset_s in ((60, 0.2), (64, 0.5), (67, 0.8)):
        assert found[pitch].onset_s == pytest.approx(onset_s, abs=0.05)
        assert found[pitch].offset_s > found[pitch].onset_s and 1 <= found[pitch].velocity <= 127
