"""Chooses a checkpoint's thresholds on recordings held out from training.

The recordings are used as they are and, where the recipe has rooms and noises, in a room with noise. On
pianos and in rooms outside the training data, probabilities are lower: thresholds chosen on clean recordings
alone miss notes there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..model import checkpoint
from ..model.config import DecoderConfig
from ..model.decoder import PedalDecoder
from ..model.notes import Press, notes_from, presses_from
from ..model.recording_decoder import RecordingDecoder
from ..model.releases import Releases
from ..model.timebase import SAMPLE_RATE, latency_s
from ..model.transcriber import Transcriber, transcriber_of
from .data.dataset import TrainingRecording
from .data.sources import gather
from .evaluate.conditions import Conditions, Listening
from .evaluate.pedal_scores import score_pedal
from .evaluate.scores import OFFSET_RATIO, ONSET_TOLERANCE_S, PRF, NoteArrays, match
from .releases import fit_releases
from .run import mix_with_initial
from .settings import TrainingSettings
from .validation import MODES, beginning

ONSETS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55)
SOONEST_ONSETS = (0.1, 0.15, 0.2, 0.25, 0.3)  #: tried beside the threshold for full context
SOONEST = "soonest"  #: the mode without look-ahead, in addition to those of validation
FRAMES = (0.2, 0.3, 0.4, 0.5, 0.6)
OFFSETS = (0.15, 0.2, 0.25, 0.3, 0.4)
PEDALS = (0.3, 0.4, 0.5, 0.6, 0.7)
RECORDING_S = 60  #: longest part used of each recording
ALL_S = 200  #: total of all recordings: a sweep must not take longer than a few minutes
NOISE_DB = 15  #: how far below a recording the noise lies

#: Tolerances of the offset, as shares of a note's length; None: only the onset has to match.
Ratios: TypeAlias = "tuple[float | None, ...]"
ONSETS_ALONE: Ratios = (None,)
#: Receives the progress: an activity, the recordings transcribed or candidates tried, and their total.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PredictedRecording:
    """A recording's predicted probabilities [T, 88, 4] and its notes; also the pedal's, where predicted."""

    probabilities: np.ndarray
    played: NoteArrays
    pedal: np.ndarray | None = None  #: the pedal's probabilities [T]
    pressed: list[Press] | None = None  #: presses of the pedal, where known
    in_room: bool = False  #: whether in a room with noise
    mode: str = "offline"  #: how it was transcribed: one of MODES, or SOONEST


def finish(
    settings: TrainingSettings, report: Report = lambda what, done, total: None
) -> tuple[Path, DecoderConfig]:
    """Writes ``final.safetensors``: the newest weights, with ``initial_share`` of the initial ones.

    Its thresholds are chosen on held-out recordings. With ``releases_hours``, the network that chooses the
    ends of notes is fitted last, and kept unless these recordings have better ends without it. Returns the
    file's path and the thresholds.
    """
    folder = Path(settings.folder)
    network, config, about = checkpoint.load(folder / "last.safetensors")
    mix_with_initial(network, settings)
    recordings = gather(settings).kept
    predictions: list[PredictedRecording] = []
    if recordings:
        predictions = predict(transcriber_of(network, config), recordings, _rooms(settings), report)
        config = replace(config, decoder=choose(predictions, config.decoder, report))
    releases = None
    if settings.releases_hours:
        releases = fit_releases(transcriber_of(network, config), settings, report)
        releases = releases if ends_well(releases, predictions, config.decoder) else None
    figures = figures_of(predictions, config.decoder, releases) if recordings else {}
    about = {**about, "figures": figures, "kept": [recording.name for recording in recordings]}
    checkpoint.save(folder / "final.safetensors", network, config, about, releases)
    return folder / "final.safetensors", config.decoder


def predict(
    transcriber: Transcriber,
    recordings: Sequence[TrainingRecording],
    rooms: Conditions | None = None,
    report: Report = lambda what, done, total: None,
) -> list[PredictedRecording]:
    """The predictions for the beginning of each recording: offline, streaming and without look-ahead.

    With ``rooms``, each recording is also transcribed under those conditions.
    """
    seconds = min(RECORDING_S, ALL_S / len(recordings))
    modes = {**MODES, SOONEST: 1000 * latency_s(0, transcriber.config.front_end.look_ahead)}
    predictions = []
    for number, recording in enumerate(recordings):
        report("transcribing what was kept back", number, len(recordings))
        samples, notes = beginning(recording, seconds)
        played, pressed = NoteArrays.of(notes), _pressed(recording, seconds)
        sounds = [(samples, False)]
        if rooms is not None:
            sounds.append((rooms.apply(samples, recording.name), True))
        for (sound, in_room), (mode, latency_ms) in itertools.product(sounds, modes.items()):
            found = transcriber.transcribe_blocks(
                [sound], SAMPLE_RATE, latency_ms=latency_ms, keep_probabilities=True
            )
            assert found.probabilities is not None
            predictions.append(
                PredictedRecording(
                    found.probabilities, played, found.pedal_probabilities, pressed, in_room, mode
                )
            )
    return predictions


def choose(
    predictions: Sequence[PredictedRecording],
    base: DecoderConfig,
    report: Report = lambda what, done, total: None,
) -> DecoderConfig:
    """Chooses one set of thresholds for all latencies: with full context, at 132 ms, without look-ahead.

    The two onset thresholds, one for 132 ms and more and one without look-ahead, maximise the mean F1 of
    onsets at 50 ms. Frame and offset are then chosen together, in all modes, by the F1 of onsets and of
    onset + offset, since the frame probability confirms onsets too. The pedal's threshold is chosen by the F1
    of its frames and of the times at which it goes down.
    """
    pairs = list(itertools.product(FRAMES, OFFSETS))
    tried = itertools.count()
    sure = [one for one in predictions if one.mode != SOONEST]
    soonest = [one for one in predictions if one.mode == SOONEST]

    def mean_f1(
        among: Sequence[PredictedRecording], decoder: DecoderConfig, ratios: Ratios = ONSETS_ALONE
    ) -> float:
        report("choosing thresholds", next(tried), len(ONSETS) + len(pairs) + len(SOONEST_ONSETS) + 1)
        return _mean_f1(among, decoder, ratios)

    onset = max(ONSETS, key=lambda t: mean_f1(sure, replace(base, onset=t)))
    base = replace(base, onset=onset)
    lower = max((onset, *SOONEST_ONSETS), key=lambda t: mean_f1(soonest, replace(base, onset_soonest=t)))
    base = replace(base, onset_soonest=min(lower, onset))
    both = (None, OFFSET_RATIO)
    frame, offset = max(
        pairs, key=lambda t: mean_f1(predictions, replace(base, frame=t[0], offset=t[1]), both)
    )
    return replace(base, frame=frame, offset=offset, pedal=_choose_pedal(sure, base.pedal))


def ends_well(releases: Releases, predictions: Sequence[PredictedRecording], decoder: DecoderConfig) -> bool:
    """Whether the onset + offset F1 of whole recordings is no lower with ``releases``; True without any."""
    whole = [one for one in predictions if one.mode == "offline"]
    ratio = (OFFSET_RATIO,)
    return not whole or _mean_f1(whole, decoder, ratio, releases) >= _mean_f1(whole, decoder, ratio)


def figures_of(
    predictions: Sequence[PredictedRecording], decoder: DecoderConfig, releases: Releases | None = None
) -> dict[str, float]:
    """F1 in percent of onsets at 50 ms and of notes with offsets, by the names that validation uses."""
    found = {}
    for mode in MODES:
        of_mode = [one for one in predictions if one.mode == mode and not one.in_room]
        for name, ratio in (("onset", None), ("note", OFFSET_RATIO)):
            found[f"{mode}_{name}"] = round(_mean_f1(of_mode, decoder, (ratio,), releases), 2)
    return found


def _choose_pedal(predictions: Sequence[PredictedRecording], default: float) -> float:
    known = [one for one in predictions if one.pedal is not None and one.pressed]
    return max(PEDALS, key=lambda t: sum(_pedal_f1(one, t) for one in known)) if known else default


def _pedal_f1(predicted: PredictedRecording, threshold: float) -> float:
    assert predicted.pedal is not None and predicted.pressed is not None
    decoder = PedalDecoder(threshold)
    turns = [turn for turn in decoder.feed(predicted.pedal) if turn is not None]
    if (last := decoder.flush()) is not None:
        turns.append(last)
    scored = score_pedal([], predicted.pressed, [], presses_from(turns))
    return sum(one.f1 for one in (scored.frame, scored.down) if one is not None)


def _rooms(settings: TrainingSettings) -> Conditions | None:
    """The recipe's measured rooms and recorded noises, where it has both."""
    how = settings.augmentation
    if not (how.rooms and how.noises):
        return None
    return Conditions(rooms=settings.path(how.rooms), noises=settings.path(how.noises), snr_db=NOISE_DB)


def _pressed(recording: TrainingRecording, seconds: float) -> list[Press] | None:
    if recording.pedal is None:
        return None
    presses = (Press(float(down), float(up)) for down, up in recording.pedal)
    return Listening(first_s=seconds).presses(presses)


def _mean_f1(
    predictions: Sequence[PredictedRecording],
    decoder: DecoderConfig,
    ratios: Ratios,
    releases: Releases | None = None,
) -> float:
    return float(np.mean([_f1(one, decoder, ratios, releases) for one in predictions]))


def _f1(
    predicted: PredictedRecording, config: DecoderConfig, ratios: Ratios, releases: Releases | None = None
) -> float:
    """The mean F1 over ``ratios``, in percent. ``releases`` are for whole recordings."""
    decoder = RecordingDecoder(
        config.at(0) if predicted.mode == SOONEST else config,
        releases if predicted.mode == "offline" else None,
    )
    transcribed = NoteArrays.of(notes_from(decoder.feed(predicted.probabilities) + decoder.flush()))
    return float(np.mean([_one_f1(predicted.played, transcribed, ratio) for ratio in ratios]))


def _one_f1(played: NoteArrays, transcribed: NoteArrays, ratio: float | None) -> float:
    """F1 in percent; 0 where nothing was played and nothing transcribed."""
    right = len(match(played, transcribed, ONSET_TOLERANCE_S, ratio))
    scored = PRF.of(right, len(transcribed), len(played))
    return scored.f1 if scored else 0.0
