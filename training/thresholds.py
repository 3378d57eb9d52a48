"""Chooses a checkpoint's thresholds on recordings that were kept back from training."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..model import checkpoint
from ..model.config import DecoderConfig
from ..model.decoder import Decoder
from ..model.notes import Press, notes_from, presses_from
from ..model.pedal_decoder import PedalDecoder
from ..model.timebase import SAMPLE_RATE
from ..model.transcriber import DEFAULT_LATENCY_MS, Transcriber
from .dataset import Piece
from .pedal_scores import score_pedal
from .scores import OFFSET_RATIO, ONSET_TOLERANCE_S, PRF, NoteArrays, match
from .settings import Settings
from .sources import gather
from .validation import beginning

ONSETS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55)
FRAMES = (0.1, 0.2, 0.3, 0.4, 0.5)
OFFSETS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
PEDALS = (0.3, 0.4, 0.5, 0.6, 0.7)
LISTEN_S = 60  #: of each recording


@dataclass(frozen=True)
class Judged:
    """A recording's probabilities [T, 88, 4] and its notes; the pedal's where the network hears it."""

    probabilities: np.ndarray
    played: NoteArrays
    pedal: np.ndarray | None = None  #: the pedal's probabilities [T]
    pressed: list[Press] | None = None  #: what it did, where that is known


def finish(settings: Settings) -> tuple[Path, DecoderConfig]:
    """Writes ``final.safetensors``: the newest weights with thresholds chosen on what was kept back."""
    folder = Path(settings.folder)
    network, config, about = checkpoint.load(folder / "last.safetensors")
    pieces = gather(settings).kept
    decoder = choose(Transcriber(network, config), pieces) if pieces else config.decoder
    about = {**about, "thresholds chosen on": [piece.name for piece in pieces]}
    checkpoint.save(
        folder / "final.safetensors", network, dataclasses.replace(config, decoder=decoder), about
    )
    return folder / "final.safetensors", decoder


def choose(transcriber: Transcriber, pieces: Sequence[Piece]) -> DecoderConfig:
    """One set for all latencies: best mean F1 of full context and the default latency.

    The onset threshold by the onsets at 50 ms; then frame and offset together by onset + offset; the pedal's
    by its frames and by when it goes down.
    """
    judged = [_judge(transcriber, piece, ms) for piece in pieces for ms in (None, DEFAULT_LATENCY_MS)]
    base = transcriber.config.decoder
    base = replace(base, frame=0.3)
    onset = max(ONSETS, key=lambda t: _mean_f1(judged, replace(base, onset=t), None))
    base = replace(base, onset=onset)
    pairs = itertools.product(FRAMES, OFFSETS)
    frame, offset = max(
        pairs, key=lambda t: _mean_f1(judged, replace(base, frame=t[0], offset=t[1]), OFFSET_RATIO)
    )
    base = replace(base, frame=frame, offset=offset)
    return replace(base, pedal=_choose_pedal(judged, base.pedal))


def _choose_pedal(judged: Sequence[Judged], default: float) -> float:
    known = [one for one in judged if one.pedal is not None and one.pressed]
    return max(PEDALS, key=lambda t: sum(_pedal_f1(one, t) for one in known)) if known else default


def _pedal_f1(judged: Judged, threshold: float) -> float:
    assert judged.pedal is not None and judged.pressed is not None
    decoder = PedalDecoder(threshold)
    turns = [turn for turn in decoder.feed(judged.pedal) if turn is not None]
    if (last := decoder.flush()) is not None:
        turns.append(last)
    scored = score_pedal([], judged.pressed, [], presses_from(turns))
    return sum(one.f1 for one in (scored.frame, scored.down) if one is not None)


def _judge(transcriber: Transcriber, piece: Piece, latency_ms: float | None) -> Judged:
    samples, played = beginning(piece, LISTEN_S)
    heard = transcriber.transcribe_blocks(
        [samples], SAMPLE_RATE, latency_ms=latency_ms, keep_probabilities=True
    )
    assert heard.probabilities is not None
    pressed = None
    if piece.pedal is not None:
        begun = piece.pedal[piece.pedal[:, 0] < LISTEN_S]
        pressed = [Press(float(down), float(min(up, LISTEN_S))) for down, up in begun]
    return Judged(heard.probabilities, NoteArrays.of(played), heard.pedal_probabilities, pressed)


def _mean_f1(judged: Sequence[Judged], decoder: DecoderConfig, offset_ratio: float | None) -> float:
    return float(np.mean([_f1(one, decoder, offset_ratio) for one in judged]))


def _f1(judged: Judged, config: DecoderConfig, offset_ratio: float | None) -> float:
    decoder = Decoder(config)
    heard = NoteArrays.of(notes_from(decoder.feed(judged.probabilities) + decoder.flush()))
    right = len(match(judged.played, heard, ONSET_TOLERANCE_S, offset_ratio))
    scored = PRF.of(right, len(heard), len(judged.played))
    return scored.f1 if scored else 0.0
