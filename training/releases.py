"""Fits the network that predicts where the notes of whole recordings end (see ``model.releases``).

First on performances as symbols, which are many; then on what the trained network predicts for the
beginnings of the run's recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from torch import nn

from ..model.decoder import FRAME, OFFSET
from ..model.notes import Note
from ..model.releases import INPUTS, LENGTHS_S, NoteTable, Releases, inputs, length_class
from ..model.timebase import SAMPLE_RATE
from ..model.transcriber import Transcriber
from .data.dataset import TrainingRecording, notes_array
from .data.performances import notes_of, read_performance
from .data.sources import TrainingData, gather
from .settings import DataSource, TrainingSettings
from .validation import beginning

RECORDING_S = 120.0  #: longest part used of each recording
UNITS = (256, 128)
SYMBOL_EPOCHS, SOUND_EPOCHS, BATCH = 3, 8, 1024
LEARNING_RATE, WEIGHT_DECAY, WARM_UP, DROPOUT = 2e-3, 0.03, 200, 0.1
SAME_ONSET_S = 0.05

#: Receives the progress: an activity, what is done of it, and the total.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Examples:
    """Notes with their true lengths."""

    inputs: np.ndarray  #: [n, INPUTS], as ``model.releases.inputs`` gives them
    classes: np.ndarray  #: [n], the length as a number of LENGTHS_S
    weights: np.ndarray  #: [n], how reliable the length is

    @classmethod
    def joined(cls, several: Sequence[Examples]) -> Examples:
        arrays = zip(*((one.inputs, one.classes, one.weights) for one in several), strict=True)
        return cls(*(np.concatenate(array) for array in arrays))


def fit_releases(transcriber: Transcriber, settings: TrainingSettings, report: Report) -> Releases:
    """Fits the network to the run's training recordings, ``releases_hours`` of them."""
    data = gather(settings)
    performances = [rendered.midi for one in data.renderings for rendered in one.order]
    symbols = []
    for number, path in enumerate(performances):
        report("reading performances", number, len(performances))
        symbols.append(symbol_examples(notes_of(read_performance(path), data.note_ends)))
    heard, used_s = [], 0.0
    total_s = 3600 * settings.releases_hours
    for recording, source in _in_turn(settings, data):
        report("transcribing what notes' ends are learned from", round(used_s), round(total_s))
        heard.append(sound_examples(transcriber, recording, source))
        used_s += min(RECORDING_S, len(recording.samples) / SAMPLE_RATE)
        if used_s >= total_s:
            break
    torch.manual_seed(settings.seed)
    network = _network()
    phases = [(symbols, SYMBOL_EPOCHS), (heard, SOUND_EPOCHS)]
    for several, epochs in phases:
        if any(len(one.inputs) for one in several):
            _train(network, Examples.joined(several), epochs, settings.seed, report)
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    return Releases(tuple((x.weight.detach().numpy().copy(), x.bias.detach().numpy().copy()) for x in layers))


def symbol_examples(notes: Sequence[Note]) -> Examples:
    """The notes of a performance, as if found without fault; nothing is known of their sound."""
    array = notes_array(sorted(notes))
    table = NoteTable(array[:, 0], array[:, 2].astype(int), array[:, 3], array[:, 1])
    return _examples(inputs(table, np.arange(len(array))), array[:, 1] - array[:, 0], np.ones(len(array)))


def sound_examples(transcriber: Transcriber, recording: TrainingRecording, source: DataSource) -> Examples:
    """The notes that the network finds at a recording's beginning, with the lengths of the played ones."""
    samples, played = beginning(recording, RECORDING_S)
    found = transcriber.transcribe_blocks([samples], SAMPLE_RATE, keep_probabilities=True)
    assert found.probabilities is not None
    notes, labels = notes_array(found.notes), notes_array(played)
    table = NoteTable(notes[:, 0], notes[:, 2].astype(int), notes[:, 3], notes[:, 1])
    labels = labels[labels[:, 1] < len(samples) / SAMPLE_RATE - SAME_ONSET_S]  # not of notes that are cut off
    label = matching(notes, labels)
    which = np.flatnonzero(label >= 0)
    end_s = labels[label[which], 1]
    weights = np.full(len(which), source.offset_weight)
    for down_s, up_s in recording.pedal if recording.pedal is not None else ():
        weights[(end_s >= down_s) & (end_s <= up_s)] = source.pedalled_weight
    of_notes = inputs(table, which, found.probabilities[..., [FRAME, OFFSET]])
    return _examples(of_notes, end_s - notes[which, 0], weights)


def matching(notes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The number of each note's label [n]: of its key, the nearest within SAME_ONSET_S; -1: none."""
    found = np.full(len(notes), -1)
    taken = np.zeros(len(labels), dtype=bool)
    for number, (onset_s, _, pitch, _) in enumerate(notes):
        first, stop = np.searchsorted(labels[:, 0], (onset_s - SAME_ONSET_S, onset_s + SAME_ONSET_S))
        near = [n for n in range(first, stop) if labels[n, 2] == pitch and not taken[n]]
        if near:
            found[number] = best = min(near, key=lambda n: abs(labels[n, 0] - onset_s))
            taken[best] = True
    return found


def _examples(of_notes: np.ndarray, lengths_s: np.ndarray, weights: np.ndarray) -> Examples:
    return Examples(of_notes.astype(np.float16), length_class(lengths_s), weights.astype(np.float32))


def _in_turn(
    settings: TrainingSettings, data: TrainingData
) -> Iterator[tuple[TrainingRecording, DataSource]]:
    """The training recordings of the sources, one of each in turn."""
    each = data.at(settings.schedule.steps - 1)
    sources = [
        [(recording, source) for recording in of] for of, source in zip(each, settings.sources, strict=True)
    ]
    return (one for round_ in zip_longest(*sources) for one in round_ if one is not None)


def _network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(INPUTS, UNITS[0]),
        nn.ReLU(),
        nn.Linear(*UNITS),
        nn.ReLU(),
        nn.Linear(UNITS[1], len(LENGTHS_S)),
    )


def _train(network: nn.Sequential, examples: Examples, epochs: int, seed: int, report: Report) -> None:
    x, y, w = (torch.from_numpy(a) for a in (examples.inputs, examples.classes, examples.weights))
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = max(1, len(x) // BATCH)
    for step in range(epochs * steps):
        if step % steps == 0:
            order = np.array_split(np.random.default_rng([seed, step]).permutation(len(x)), steps)
        report("learning notes' ends", step, epochs * steps)
        rate = LEARNING_RATE * min(1, step / WARM_UP) * (1 - 0.98 * step / (epochs * steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = torch.from_numpy(order[step % steps])
        shown = nn.functional.dropout(x[batch].float(), DROPOUT)
        loss = (nn.functional.cross_entropy(network(shown), y[batch], reduction="none") * w[batch]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
