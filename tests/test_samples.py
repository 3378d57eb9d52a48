"""Arrays of every kind: right, or a line that says what to do. Blocks may be used again at once."""

from __future__ import annotations

import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model.samples import as_samples, recording_blocks
from hppnet.model.transcriber import Transcriber

from .sounds import three_notes

RATE = 16_000
QUICK = settings(max_examples=60, derandomize=True)
CLIP = three_notes()[: RATE // 2]
STEREO = np.stack([CLIP, 0.5 * CLIP], axis=1)
MEAN = STEREO.mean(axis=1)


@pytest.fixture(scope="module")
def tiny(small: Path) -> Transcriber:
    return Transcriber.load(small, "cpu", "fp32")


def whole(samples: object, rate: int = RATE) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *recording_blocks(samples, rate)])


#: How an array may lie in memory; none changes its values.
LAYOUTS: dict[str, Callable[[np.ndarray], object]] = {
    "as it is": lambda x: x,
    "Fortran order": np.asfortranarray,
    "every second of twice as many": lambda x: np.repeat(x, 2, axis=0)[::2],
    "backwards twice": lambda x: x[::-1].copy()[::-1],
    "read only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "tensor": lambda x: torch.from_numpy(np.ascontiguousarray(x)),
    "tensor that is not contiguous": lambda x: torch.from_numpy(np.repeat(x, 2, axis=0))[::2],
    "masked, none of it": lambda x: np.ma.MaskedArray(x),
    "list": lambda x: x.tolist() if x.dtype.kind == "f" else x,
}
#: How much a type's values lie off the float's, at most.
TYPES = {
    "float16": 2**-11,
    "float32": 0.0,
    "float64": 2**-24,
    "longdouble": 2**-24,
    "int8": 2**-8,
    "uint8": 2**-8,
    "int16": 2**-16,
    "int32": 2**-24,
}
CHANNELS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "[n]": (CLIP, CLIP),
    "[n, 1]": (CLIP[:, None], CLIP),
    "[1, n]": (CLIP[None], CLIP),
    "[n, 2]": (STEREO, MEAN),
    "[2, n]": (STEREO.T, MEAN),
    "[n, 64]": (np.repeat(CLIP[:, None], 64, axis=1), CLIP),
}


def of_type(samples: np.ndarray, name: str) -> np.ndarray:
    kind = np.dtype(name)
    if kind.kind == "f":
        return samples.astype(kind)
    full = 2 ** (8 * kind.itemsize - 1)
    return np.round(samples.astype(np.float64) * full + (128 if kind.kind == "u" else 0)).astype(kind)


@QUICK
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    name=st.sampled_from(sorted(TYPES)),
    shape=st.sampled_from(sorted(CHANNELS)),
)
def test_every_layout_type_and_shape_is_the_same_sound(layout: str, name: str, shape: str) -> None:
    samples, wanted = CHANNELS[shape]
    if "tensor" in layout and name == "longdouble":
        return  # PyTorch has none
    got = whole(LAYOUTS[layout](of_type(samples, name)))
    assert got.dtype == np.float32 and got.shape == wanted.shape
    # a float32 mean of several channels may round once more
    assert np.abs(got - wanted).max() <= TYPES[name] + 2**-22


@QUICK
@given(frames=st.integers(0, 90), channels=st.integers(0, 64), turned=st.booleans())
def test_the_shorter_axis_is_the_channels(frames: int, channels: int, turned: bool) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (frames, channels))
    given_ = samples.T if turned else samples
    if not given_.size:
        assert not len(whole(given_))
        return
    axis = 1 if given_.shape[0] >= given_.shape[1] else 0  # of equal axes the second
    np.testing.assert_allclose(whole(given_), given_.mean(axis=axis), atol=1e-6)


def test_two_by_two_is_two_frames_of_two_channels() -> None:
    np.testing.assert_array_equal(whole(np.array([[0.25, 0.75], [0, 0]])), [0.5, 0])


@pytest.mark.parametrize(
    "samples",
    [
        torch.tensor(CLIP, requires_grad=True),
        torch.tensor(CLIP, dtype=torch.float64)[None],
        array.array("f", CLIP.tolist()),
        [CLIP, CLIP],
        (CLIP.tolist(), CLIP.tolist()),
        pytest.param(
            torch.tensor(CLIP).to("cuda") if torch.cuda.is_available() else None,
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
        ),
    ],
)
def test_others_that_hold_samples(samples: object) -> None:
    np.testing.assert_allclose(whole(samples), CLIP, atol=1e-7)


def test_halves_of_pytorch_keep_what_they_hold() -> None:
    np.testing.assert_allclose(whole(torch.tensor(CLIP).bfloat16()), CLIP, atol=2**-9)


@pytest.mark.parametrize("nothing", [[], np.zeros(0), np.zeros((0, 2)), np.zeros((2, 0)), torch.zeros(0)])
def test_nothing_is_no_sound(tiny: Transcriber, nothing: object) -> None:
    assert tiny.transcribe(nothing, RATE) == []


def with_value(value: float, at: int = 7) -> np.ndarray:
    samples = CLIP.copy()
    samples[at] = value
    return samples


class Strange:
    """An array of a library that NumPy does not know."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("the data lie elsewhere\nand more")


#: name -> (samples, error, its words), for whole recordings; streams use other words for other shapes.
REFUSED: dict[str, tuple[object, type[Exception], str]] = {
    "64-bit integers": (
        np.zeros(9, np.int64),
        TypeError,
        r"8, 16 or 32 bits, got int64.*/ 32768",
    ),
    "a list of integers": ([0, 1, 2], TypeError, "full scale is not known"),
    "unsigned 16": (np.zeros(9, np.uint16), TypeError, "got uint16"),
    "bool": (np.zeros(9, bool), TypeError, r"got bool values.*astype\(np.float32\)"),
    "complex": (np.zeros(9, np.complex64), TypeError, "got complex64 values"),
    "complex tensor": (torch.zeros(9, dtype=torch.complex64), TypeError, "got complex64 values"),
    "objects": (np.array([0.5, None]), TypeError, "got object values"),
    "text": (np.array(["0.5", "1"]), TypeError, "got <U3 values"),
    "times": (np.zeros(9, "m8[s]"), TypeError, "got timedelta64"),
    "records": (np.zeros(9, [("l", "f4"), ("r", "f4")]), TypeError, "got .* values"),
    "nothing": (None, TypeError, "got NoneType"),
    "generator": ((x for x in CLIP), TypeError, "got generator"),
    "bytes": (CLIP.tobytes(), TypeError, "np.frombuffer"),
    "bytearray": (bytearray(8), TypeError, "got bytearray.*np.frombuffer"),
    "memoryview": (memoryview(bytes(8)), TypeError, "np.frombuffer"),
    "sparse tensor": (torch.zeros(9).to_sparse(), TypeError, "convert it to a NumPy array"),
    "tensor without data": (torch.zeros(9, device="meta"), TypeError, "convert it to a NumPy array"),
    "strange": (Strange(), TypeError, r"got Strange \(the data lie elsewhere\)"),
    "ragged": ([[0.1, 0.2], [0.3]], ValueError, "rows of samples of equal length"),
    "NaN": (with_value(np.nan), ValueError, r"NaN or infinity, first at sample 7.*nan_to_num"),
    "infinity": (with_value(-np.inf), ValueError, "NaN or infinity"),
    "too large for float32": (with_value(1.0).astype(np.float64) * 1e300, ValueError, "a peak of 1e"),
    "16-bit values as floats": (CLIP * 32767, ValueError, "between -1 and 1, got a peak of .*/ 32768"),
    "masked": (np.ma.masked_greater(CLIP, 0.01), ValueError, r"filled\(0\)"),
    "a number": (0.5, ValueError, "expected .*mono samples of shape|got a single number"),
    "a batch": (CLIP[None, None], ValueError, r"shape \[1, 1, 8000\]"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_no_sound_is_refused_in_a_line(tiny: Transcriber, name: str) -> None:
    samples, error, words = REFUSED[name]
    with pytest.raises(error, match=words) as caught:
        tiny.transcribe(samples, RATE)
    assert type(caught.value) is error and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_stream_refuses_the_same_and_takes_nothing_of_it(tiny: Transcriber, name: str) -> None:
    samples, error, _ = REFUSED[name]
    stream, untouched = tiny.stream(sample_rate=RATE), tiny.stream(sample_rate=RATE)
    stream.feed(CLIP)
    with pytest.raises(error) as caught:
        stream.feed(samples)
    assert type(caught.value) in (TypeError, ValueError) and "\n" not in str(caught.value)
    untouched.feed(CLIP)
    assert stream.flush() == untouched.flush()


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((500, 200)), "spectrogram"),
        ((100 * np.sin(np.arange(900))).astype(np.int32), r"astype\(np.int16\)"),
        (np.full((90, 2), np.nan), "first at sample 0"),
        (np.round(CLIP * 100), "a peak of .*divide by full scale"),
    ],
)
def test_whole_recordings_that_make_no_sense(samples: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recording_blocks(samples, RATE)


def test_the_place_of_a_fault_counts_from_the_start() -> None:
    with pytest.raises(ValueError, match="at sample 200000"):
        recording_blocks(np.where(np.arange(210_000) == 200_000, np.nan, 0.0), RATE)


def test_the_advice_for_nan_and_infinity_makes_silence() -> None:
    samples = np.array([0.5, np.nan, np.inf, -np.inf])
    with pytest.raises(ValueError, match="to replace them by silence, ") as caught:
        recording_blocks(samples, RATE)
    assert eval(str(caught.value).split("silence, ")[1]).tolist() == [0.5, 0, 0, 0]


def test_streams_take_one_channel_alone() -> None:
    for shape in ((9, 1), (1, 9), (9, 2)):
        with pytest.raises(ValueError, match=r"mono samples of shape \[n\].*block\[:, 0\]"):
            as_samples(np.zeros(shape, np.float32))
    np.testing.assert_array_equal(as_samples(np.array([-32768, 16384], np.int16)), [-1, 0.5])


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_blocks_may_be_used_again_at_once(tiny: Transcriber, rate: int) -> None:
    sound, size = CLIP, 100  # several wait for one frame
    buffer = np.zeros(size, np.float32)
    seen: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for again in (True, False):
        stream = tiny.stream(132, rate, seen[again].append)
        for at in range(0, len(sound), size):
            buffer[:] = sound[at : at + size]
            stream.feed(buffer if again else buffer.copy())
            buffer[:] = 9.0
        stream.flush()
    np.testing.assert_array_equal(np.concatenate(seen[True]), np.concatenate(seen[False]))


# --- the rate and the source ---


@pytest.mark.parametrize(
    "rate", [16_000, 16_000.0, np.int32(16_000), np.float64(16_000), torch.tensor(16_000)]
)
def test_rates_are_numbers_of_any_kind(tiny: Transcriber, rate: int) -> None:
    assert tiny.transcribe(CLIP, rate) == tiny.transcribe((CLIP, rate)) == tiny.transcribe(CLIP, RATE)
    assert tiny.stream(sample_rate=rate).sample_rate == RATE


@pytest.mark.parametrize(
    ("rate", "error", "words"),
    [
        (None, TypeError, "samples need their rate"),
        (True, TypeError, "got bool"),
        ("16000", TypeError, "got str"),
        (CLIP, TypeError, "got ndarray: samples come first"),
        (16_000.5, ValueError, "whole number"),
        (float("nan"), ValueError, "whole number"),
        (float("inf"), ValueError, "whole number"),
        (0, ValueError, "4000 to 768000"),
        (-16_000, ValueError, "4000 to 768000"),
        (10**9, ValueError, "4000 to 768000"),
    ],
)
def test_rates_that_are_none(tiny: Transcriber, rate, error: type[Exception], words: str) -> None:
    for samples in (CLIP, STEREO):
        with pytest.raises(error, match=words):
            tiny.transcribe(samples, rate)
    if rate is not None:
        with pytest.raises(error, match=words):
            tiny.stream(sample_rate=rate).feed(CLIP)


def test_rate_and_samples_the_wrong_way_round(tiny: Transcriber) -> None:
    with pytest.raises(TypeError, match="samples need their rate"):
        tiny.transcribe((RATE, CLIP))
    with pytest.raises(TypeError, match="got ndarray: samples come first"):
        tiny.transcribe(RATE, CLIP)


def test_a_file_says_its_rate_itself(small: Path) -> None:
    with pytest.raises(TypeError, match="leave sample_rate out"):
        Transcriber.load(small, "cpu", reader=lambda path: ([], RATE, list)).transcribe("a.wav", RATE)


@pytest.mark.parametrize("turned", [np.ascontiguousarray, np.transpose], ids=["[n, 2]", "[2, n]"])
def test_inverted_stereo_does_not_cancel(turned: Callable[[np.ndarray], np.ndarray]) -> None:
    mixed = whole(turned(np.stack([CLIP, -CLIP], axis=1)))[RATE // 4 :]  # it begins at 0.2 s
    np.testing.assert_allclose(np.abs(mixed), np.abs(CLIP[RATE // 4 :]), rtol=1e-6)
