"""``import hppnet``: what the command finds in a file is there in Python too."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hppnet
from hppnet.api import read_sound
from hppnet.model.transcriber import Transcriber
from hppnet.offline.reading import OpenRecording, open_recording

from .pedal_parts import with_moving_pedal
from .sounds import three_notes

RATE = 16_000


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("take") / "take.wav"
    soundfile.write(path, three_notes(), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def loaded(transcriber: Transcriber) -> Transcriber:
    """As ``hppnet.load`` gives them, with a pedal that moves."""
    return with_moving_pedal(replace(transcriber, reader=read_sound), three_notes())


def test_notes_and_presses_go_into_a_midi_file(loaded: Transcriber, take: Path, tmp_path: Path) -> None:
    notes, presses = loaded.transcribe(take, pedal=True)
    assert notes and presses and notes == loaded.transcribe(take)
    hppnet.write_midi(notes, tmp_path / "a.mid", presses)
    assert len(hppnet.read_midi(tmp_path / "a.mid")) == len(notes)
    (first, *_), (wanted, *_) = hppnet.read_pedal(tmp_path / "a.mid"), presses
    assert (first.down_s, first.up_s) == pytest.approx((wanted.down_s, wanted.up_s), abs=5.01e-4)


def test_weights_without_a_pedal_say_so(small: Path, take: Path) -> None:
    deaf = hppnet.load(small, device="cpu")
    with pytest.raises(ValueError, match="do not predict the pedal"):
        deaf.transcribe(take, pedal=True)
    assert deaf.transcription(take).pedal is None


def test_nothing_of_a_result_is_missing(loaded: Transcriber, take: Path) -> None:
    found = loaded.transcription(take, tuning="440Hz", latency_ms=132, keep_probabilities=True)
    assert found.notes == loaded.transcribe(take, latency_ms=132) and found.pedal
    assert found.sounding == hppnet.sounding(found.notes, found.pedal)
    assert found.duration_s == pytest.approx(1.5) and found.probabilities.shape == (75, 88, 4)
    assert (found.tuning_cents, found.latency_ms, found.warnings) == (0.0, 132, ())
    assert found.checkpoint_name == loaded.checkpoint_name
    assert isinstance(found, hppnet.Transcription)


def test_a_tuning_may_be_given_or_found(loaded: Transcriber, take: Path) -> None:
    assert loaded.transcription(take, tuning=-150).tuning_cents == -150
    assert loaded.transcription(take, tuning="415Hz").tuning_cents == pytest.approx(-101.27, abs=0.01)
    for source in (take, (three_notes(), RATE)):  # both are read twice
        found = loaded.transcription(source, tuning="auto")
        assert abs(found.tuning_cents) < 5 and found.notes
    for wrong in ("high", 201, float("nan")):
        with pytest.raises(ValueError, match="tuning"):
            loaded.transcribe(take, tuning=wrong)


def test_warnings_of_reading_and_of_a_drift_are_handed_on(loaded: Transcriber, monkeypatch) -> None:
    said: list[str] = []

    def read(path: Path):
        def blocks():
            yield three_notes()
            said.append("a.wav: half of it could not be read")

        return blocks(), RATE, lambda: list(said)

    monkeypatch.setattr("hppnet.model.tuning.DRIFT_CENTS", -1.0)
    found = replace(loaded, reader=read).transcription("a.wav", tuning="auto")
    assert found.warnings[0] == said[0] and "drifts" in found.warnings[-1]


@pytest.mark.parametrize("used", [0, 1])
def test_a_recording_is_closed_with_its_blocks(take: Path, monkeypatch, used: int) -> None:
    opened: list[Opening] = []

    class Opening:
        def __init__(self, path: Path, **more: object) -> None:
            self.opening, self.closed = open_recording(path, **more), False
            opened.append(self)

        def __enter__(self) -> OpenRecording:
            return self.opening.__enter__()

        def __exit__(self, *raised: object) -> None:
            self.closed = True
            self.opening.__exit__(*raised)

    monkeypatch.setattr("hppnet.api.open_recording", Opening)
    blocks, rate, _ = read_sound(take)
    assert rate == RATE and sum(1 for _ in islice(blocks, used)) == used and not opened[0].closed
    blocks.close()
    assert opened[0].closed


def test_files_arrays_and_soundfile_give_the_same(loaded: Transcriber, take: Path) -> None:
    notes = loaded.transcribe(take)
    samples = three_notes()
    assert notes == loaded.transcribe(samples, RATE) == loaded.transcribe(soundfile.read(take))
    assert notes == loaded.transcribe(str(take)) == loaded.transcribe(np.stack([samples, samples]), RATE)
