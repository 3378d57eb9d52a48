"""Converts arrays, tensors and lists to float32 samples, or raises an error that says what to do.

The full scale of floats is 1. Integers of 8, 16 and 32 bits are scaled by their range (unsigned 8-bit ones
are centred on 128, as in WAV files). 64-bit integers, which NumPy makes of lists, have no known full scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .downmix import Downmix

#: The path of a sound file, or samples (array, tensor or lists), alone or as (samples, sample rate).
Source = Any
#: Returns the warnings from reading; to be called after the last block.
Warnings = Callable[[], Sequence[str]]
#: Opens a sound file; returns blocks of mono samples, the sample rate, and the warnings.
Reader = Callable[[Path], tuple[Iterable[np.ndarray], int, Warnings]]
MOST_CHANNELS = 64
#: Full scale is 1. Samples 36 dB above it were never scaled, nor were whole numbers that reach 2.
LOUDEST = 64.0
LOUD_INTEGER = 2.0
BLOCK_S = 10.0  #: block length for whole recordings, which are converted without a copy of the whole
_INTEGERS = ("int8", "uint8", "int16", "int32")


def opened(
    source: Source, sample_rate: int | None, reader: Reader | None
) -> tuple[Iterable[np.ndarray], int, Warnings]:
    """Opens a file or samples: blocks of mono samples [n], their rate in Hz and the warnings of reading.

    Raises TypeError for a file without a ``reader`` or with a rate, and for samples without a rate; also as
    ``reader`` and ``recording_blocks`` do.
    """
    if isinstance(source, (str, PathLike)):
        if reader is None:
            raise TypeError("this transcriber was loaded without a reader of files: use hppnet.load()")
        if sample_rate is not None:
            raise TypeError("a file states its own sample rate: leave sample_rate out")
        return reader(Path(source))
    if sample_rate is None and isinstance(source, tuple) and len(source) == 2 and np.ndim(source[1]) == 0:
        source, sample_rate = source
    if sample_rate is None:
        raise TypeError("samples need their rate: transcribe(samples, sample_rate)")
    rate = whole_rate(sample_rate)
    return recording_blocks(source, rate), rate, list


def as_samples(block: object) -> np.ndarray:
    """A block of one channel as finite float32 samples [n]; a copy, so the caller may reuse its array.

    Raises TypeError if ``block`` is not an array of supported numbers, ValueError for other shapes, NaN and
    values that are not scaled.
    """
    samples = _array(block)
    if samples.ndim != 1:
        raise ValueError(
            f"expected mono samples of shape [n], got shape {list(samples.shape)}: "
            "feed one channel, block[:, 0], or the mean of all"
        )
    return _scaled(samples)


def recording_blocks(samples: object, sample_rate: int) -> Iterator[np.ndarray]:
    """A whole recording [n], [n, channels] or [channels, n] as blocks of mono float32 samples [m].

    The shorter axis is that of the channels; if both are equally long, the second. Channels are mixed as
    those of files are (``downmix``). Raises as ``as_samples``, before the first block.
    """
    whole = _frames_first(_array(samples))
    step = max(1, round(BLOCK_S * sample_rate))
    parts = [whole[at : at + step] for at in range(0, len(whole), step)]
    for number, part in enumerate(parts):
        _check_values(part, number * step)
    peak = max((_peak(part) for part in parts), default=0.0)
    _check_range(whole.dtype, peak)
    if whole.dtype.kind == "f" and peak >= LOUD_INTEGER and all((p == np.rint(p)).all() for p in parts):
        raise _never_scaled(peak)
    if whole.ndim == 1:
        return (_scaled(part) for part in parts)
    return _mixed(parts, whole.shape[1], sample_rate)


def _mixed(parts: list[np.ndarray], channels: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Mixes parts to mono. A generator, so that Downmix is created after the caller checked the rate."""
    mix = Downmix(channels, sample_rate)
    for part in parts:
        yield mix.feed(_scaled(part))


def whole_rate(sample_rate: Any) -> int:
    """A sample rate as an int. Raises TypeError if it is not a number, ValueError if it is not whole."""
    if getattr(sample_rate, "ndim", None) == 0 and hasattr(sample_rate, "item"):
        sample_rate = sample_rate.item()
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Real):
        raise TypeError(
            f"expected the sample rate in Hz, a number, got {type(sample_rate).__name__}: "
            "samples come first, their rate second"
        )
    rate = float(sample_rate)
    if not rate.is_integer():  # also refuses NaN and infinity
        raise ValueError(f"expected a whole number of samples a second, got {sample_rate}")
    return int(rate)


def _array(value: Any) -> np.ndarray:
    """``value`` as an array of any shape, with a type whose full scale is known."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"expected an array of samples, got {type(value).__name__}: for 16-bit PCM write "
            "np.frombuffer(data, dtype='<i2')"
        )
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor; PyTorch is not imported for this
            value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy(force=True)
        array = np.asarray(value)
    except ValueError:
        raise ValueError("expected rows of samples of equal length, got different lengths") from None
    except Exception as error:  # tensors on other devices, sparse or without data; other libraries' arrays
        raise TypeError(
            f"expected an array that NumPy can read, got {type(value).__name__} ({_first_line(error)}): "
            "convert it to a NumPy array first"
        ) from None
    if np.ma.is_masked(value):
        raise ValueError("expected samples without a mask, got masked ones: fill them, samples.filled(0)")
    _check_kind(value, array)
    return array


def _check_kind(value: object, array: np.ndarray) -> None:
    if array.dtype.kind == "f" or array.dtype.newbyteorder("=").name in _INTEGERS:
        return
    wanted = "float samples between -1 and 1, or integers of 8, 16 or 32 bits"
    if array.dtype.kind in "iu":
        raise TypeError(
            f"expected {wanted}, got {array.dtype}, whose full scale is not known: "
            "divide by it (for 16-bit values, samples / 32768)"
        )
    got = type(value).__name__ if array.dtype.kind == "O" and array.ndim == 0 else f"{array.dtype} values"
    raise TypeError(f"expected {wanted}, got {got}: convert them, for example samples.astype(np.float32)")


def _frames_first(array: np.ndarray) -> np.ndarray:
    """The samples as [n] or [n, channels]."""
    if array.ndim == 1:
        return array
    if array.ndim != 2:
        got = "a single number" if array.ndim == 0 else f"shape {list(array.shape)}"
        more = ": take one recording, samples[0]" if array.ndim > 2 else ""
        raise ValueError(f"expected samples [n], [n, channels] or [channels, n], got {got}{more}")
    if not array.size:
        return np.zeros(0, dtype=np.float32)
    frames = array.T if array.shape[0] < array.shape[1] else array
    if frames.shape[1] > MOST_CHANNELS:
        raise ValueError(
            f"expected samples [n], [n, channels] or [channels, n] of at most {MOST_CHANNELS} channels, "
            f"got shape {list(array.shape)}: is it a spectrogram, or a batch of recordings?"
        )
    return frames


def _scaled(array: np.ndarray) -> np.ndarray:
    """A float32 copy; full scale is 1."""
    _check_values(array)
    samples = array.astype(np.float32)
    if array.dtype.kind == "u":
        samples -= 128
    if array.dtype.kind in "iu":
        samples /= 2.0 ** (8 * array.dtype.itemsize - 1)
    return samples


def _check_values(array: np.ndarray, before: int = 0) -> None:
    """Raises ValueError for NaN, infinite or unscaled values. ``before``: number of samples before these."""
    if array.dtype.kind != "f" or _peak(array) <= LOUDEST:  # False for NaN
        return
    rows = np.isfinite(array) if array.ndim == 1 else np.isfinite(array).all(axis=1)
    if not rows.all():
        first = before + int(np.argmin(rows))
        raise ValueError(
            f"expected finite samples, got NaN or infinity, first at sample {first}: "
            "to replace them by silence, np.nan_to_num(samples, posinf=0, neginf=0)"
        )
    raise _never_scaled(_peak(array))


def _never_scaled(peak: float) -> ValueError:
    return ValueError(
        f"expected samples between -1 and 1, got a peak of {peak:.6g}: "
        "divide by full scale (for 16-bit values, samples / 32768)"
    )


def _check_range(kind: np.dtype, peak: float) -> None:
    """Refuses 16-bit values in 32-bit integers: 96 dB too quiet, they would give no notes."""
    if kind.newbyteorder("=") == np.int32 and 0 < peak <= 2**15:
        raise ValueError(
            f"expected 32-bit samples (full scale is 2147483648), got a peak of {peak:.0f}: "
            "if these are 16-bit values, write samples.astype(np.int16)"
        )


def _peak(array: np.ndarray) -> float:
    if array.dtype.kind == "f":
        return float(np.abs(array).max(initial=0))
    return max(abs(int(array.min(initial=0))), int(array.max(initial=0)))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
