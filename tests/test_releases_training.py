"""Fitting the network that chooses where notes end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hppnet.model import checkpoint
from hppnet.model.notes import Note
from hppnet.model.releases import LENGTHS_S, Releases
from hppnet.training import releases
from hppnet.training.data.dataset import TrainingRecording, notes_array
from hppnet.training.settings import DataSource
from hppnet.training.thresholds import finish

from .training_runs import make_music, short_run, trained


def melody(seed: int, notes: int = 400) -> list[Note]:
    """Each note is held until the next one begins."""
    rng = np.random.default_rng(seed)
    onsets = np.cumsum(rng.choice([0.2, 0.4, 0.8], size=notes + 1))
    pitches = 60 + np.arange(notes) * 7 % 12
    return [Note(a, b, int(p), 64) for a, b, p in zip(onsets, onsets[1:], pitches, strict=False)]


def test_it_learns_that_a_melody_is_played_legato() -> None:
    torch.manual_seed(0)
    network = releases._network()
    seen = releases.Examples.joined([releases.symbol_examples(melody(seed)) for seed in range(10)])
    releases._train(network, seen, 40, 0, lambda what, done, total: None)
    other = releases.symbol_examples(melody(99))
    found = Releases(
        tuple(
            (x.weight.detach().numpy(), x.bias.detach().numpy()) for x in network if isinstance(x, nn.Linear)
        )
    )
    chosen = found.probabilities(other.inputs.astype(np.float32)).argmax(axis=1)
    assert np.mean(np.abs(LENGTHS_S[chosen] / LENGTHS_S[other.classes] - 1) < 0.2) > 0.9


def test_labels_are_matched_once_by_key_and_onset() -> None:
    labels = notes_array([Note(1.0, 2.0, 60, 64), Note(1.0, 2.0, 64, 64), Note(1.04, 2.0, 67, 64)])
    notes = notes_array(
        [Note(1.01, 2, 60, 1), Note(1.02, 2, 60, 1), Note(1.03, 2, 64, 1), Note(1.2, 2, 67, 1)]
    )
    assert releases.matching(notes, labels).tolist() == [0, -1, 1, -1]


def test_ends_count_by_how_reliable_their_labels_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut-off notes are left out; under the pedal, the source's own weight counts."""
    played = [Note(0.5, 1.0, 60, 64), Note(0.5, 2.0, 64, 64), Note(2.0, 5.0, 67, 64)]
    recording = TrainingRecording(
        "a", np.zeros(4 * 16_000, np.int16), notes_array(played), np.array([[1.5, 3.0]])
    )

    class Found:
        notes = played
        probabilities = np.zeros((200, 88, 4), np.float32)

    class Fake:
        def transcribe_blocks(self, blocks: object, rate: int, keep_probabilities: bool) -> type[Found]:
            return Found

    source = DataSource("folder", offset_weight=0.5, pedalled_weight=0.2)
    found = releases.sound_examples(Fake(), recording, source)  # type: ignore[arg-type]
    assert found.weights.tolist() == pytest.approx([0.5, 0.2])
    assert LENGTHS_S[found.classes] == pytest.approx([0.5, 1.5], rel=0.05)


def test_a_run_that_wants_them_ends_with_them(tmp_path: Path) -> None:
    folder = make_music(tmp_path)
    wanted = short_run(folder, "with", validation=(DataSource(str(folder / "music")),), releases_hours=0.001)
    trained(wanted)
    assert checkpoint.read(finish(wanted)[0]).releases is not None
    assert checkpoint.read(finish(replace(wanted, releases_hours=0.0))[0]).releases is None
