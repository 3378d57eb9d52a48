"""Windows of several recordings in one batch of PyTorch give what each recording gives by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.decoder import Decoder, Probable
from hppnet.model.engines import window_engine
from hppnet.model.frames import CONTEXT_FRAMES, WINDOW_FRAMES, Row, Slices
from hppnet.model.lstm import LibraryLSTM
from hppnet.model.network import HPPNet
from hppnet.model.notes import notes_from
from hppnet.model.recording_decoder import RecordingDecoder
from hppnet.model.spectrum import front_end_of
from hppnet.model.stream import RecordingStream
from hppnet.model.transcriber import Transcriber

from .tolerances import additions, assert_same_sums

RATE = 16_000


@pytest.fixture(scope="module")
def tiny() -> Transcriber:
    """Talkative, though it has learned nothing; with a head for the pedal."""
    torch.manual_seed(0)
    config = ModelConfig(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2, pedal_units=3))
    network = HPPNet(config.network).eval().requires_grad_(False)
    network.bias[:] = torch.tensor([-0.3, 2.0, -2.0])
    return Transcriber(network, config)


def noise(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0, 0.3, int(seconds * 4) + 1), RATE // 4)[: round(seconds * RATE)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def alone(transcriber: Transcriber, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities of the keys and the pedal."""
    kept: list[np.ndarray] = []
    pedal: list[np.ndarray] = []
    config = transcriber.config
    driver = RecordingStream(
        window_engine(transcriber.network, config.front_end),
        config.front_end,
        RecordingDecoder(config.decoder),
        RATE,
        kept.append,
        watch_pedal=pedal.append,
    )
    driver.feed(samples)
    driver.flush()
    return np.concatenate(kept), np.concatenate(pedal) if pedal else None


def together(transcriber: Transcriber, sounds: list[np.ndarray], spectra: bool = False) -> list[Probable]:
    """All begin at once; the batch shrinks as the short ones end."""
    front_end = front_end_of(transcriber.config.front_end)
    windows = window_engine(transcriber.network, transcriber.config.front_end)
    cut = [Slices(transcriber.config.front_end, RATE).slices([sound]) for sound in sounds]
    pasts = [windows.start() for _ in sounds]
    kept: list[list[Probable]] = [[] for _ in sounds]
    going = list(range(len(sounds)))
    while going:
        rows = []
        for number in going:
            sound, last = next(cut[number])
            if spectra and len(sound):
                sound = front_end.frames(torch.from_numpy(sound)[None])[0].numpy()
            rows.append(Row(pasts[number], sound, last))
        judged = windows.predict(rows)
        for number, probabilities, past in zip(going, judged.wait(), judged.pasts, strict=True):
            kept[number].append(probabilities)
            pasts[number] = past
        going = [number for number, row in zip(going, rows, strict=True) if not row.last]
    return [
        (
            np.concatenate([keys for keys, _ in parts]),
            None if parts[0][1] is None else np.concatenate([pedal for _, pedal in parts]),
        )
        for parts in kept
    ]


def assert_close(network: HPPNet, got: Probable, expected: Probable, of: str = "") -> None:
    # What lies further back than the context is forgotten: that is what windows rely on.
    terms = additions(network, CONTEXT_FRAMES)
    for ours, theirs in zip(got, expected, strict=True):
        if theirs is None:
            assert ours is None, of
        else:
            assert ours.shape == theirs.shape, of
            assert_same_sums(ours, theirs, terms, of)


# Ends before a window, on its edges and just after them, in the second window.
SECONDS = (0.3, 25.0, 25.02, 24.98, 45.0, 1.0)


@pytest.mark.slow
def test_together_as_alone(tiny: Transcriber) -> None:
    sounds = [noise(seconds, seed) for seed, seconds in enumerate(SECONDS)]
    notes = 0
    for seconds, sound, got in zip(SECONDS, sounds, together(tiny, sounds), strict=True):
        expected = alone(tiny, sound)
        assert_close(tiny.network, got, expected, f"of {seconds} s")
        assert got[1] is not None
        decoder, other = Decoder(tiny.config.decoder), Decoder(tiny.config.decoder)
        found = notes_from(decoder.feed(*got) + decoder.flush())
        assert len(found) == len(notes_from(other.feed(*expected) + other.flush()))
        notes += len(found)
    assert notes > 1000  # so that the comparison means something


def test_spectra_do_as_well_as_samples(tiny: Transcriber) -> None:
    sounds = [noise(26.0, 1), noise(2.0, 2)]
    for got, expected in zip(together(tiny, sounds, spectra=True), together(tiny, sounds), strict=True):
        assert_close(tiny.network, got, expected)


def test_no_sound_at_all(tiny: Transcriber) -> None:
    silent, other = together(tiny, [noise(0, 1), noise(0.5, 2)])
    assert len(silent[0]) == 0 and len(other[0]) == 25
    ((keys, pedal),) = together(tiny, [noise(0, 1)])
    assert keys.shape == (0, 88, 4) and pedal is not None and len(pedal) == 0


def test_the_trained_network_too(in_torch: Transcriber) -> None:
    transcriber = in_torch
    sounds = [noise(27.0, 5), noise(3.0, 6)]
    for sound, got in zip(sounds, together(transcriber, sounds), strict=True):
        assert_close(transcriber.network, got, alone(transcriber, sound))


def test_a_batch_may_be_tried_again(tiny: Transcriber) -> None:
    """Nothing of a row is changed by judging it: what memory was too small for is judged in halves."""
    windows = window_engine(tiny.network, tiny.config.front_end)
    cut = Slices(tiny.config.front_end, RATE).slices([noise(60.0, 3)])
    first = windows.predict([Row(windows.start(), *next(cut))])
    row = Row(first.pasts[0], *next(cut))
    once, again = windows.predict([row]).wait(), windows.predict([row, row]).wait()
    assert_close(tiny.network, once[0], again[0])
    assert_close(tiny.network, once[0], again[1])


def test_slices_are_whole_windows(tiny: Transcriber) -> None:
    """However the sound comes; and the rest is the rest."""
    front_end = tiny.config.front_end

    def frames(blocks: list[np.ndarray]) -> list[tuple[int, bool]]:
        return [
            ((len(sound) - front_end.span) // 320 + 1 if len(sound) else 0, last)
            for sound, last in Slices(front_end, RATE).slices(blocks)
        ]

    sound = noise(47.0, 4)
    expected = [(WINDOW_FRAMES + CONTEXT_FRAMES, False), (WINDOW_FRAMES, False), (100, True)]
    assert frames([sound]) == frames(np.array_split(sound, 7)) == expected
    assert frames([]) == [(0, True)]


def test_the_librarys_lstm_is_ours() -> None:
    ours = HPPNet(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2)).forward_lstm
    theirs = LibraryLSTM(ours)
    x = torch.randn(9, 5, ours.weight_x.shape[1])
    state = tuple(torch.randn_like(part) for part in ours.start(5))
    weight = torch.randn(ours.heads, ours.units)
    for a, b in zip(ours.advance(x, state, weight), theirs.advance(x, state, weight), strict=True):
        for one, other in zip(a, b, strict=True):
            assert_same_sums(one, other, 9 * (x.shape[-1] + ours.units))
