"""Detects silent, noisy and mutually cancelling channels of a recording or a device, block by block."""

from __future__ import annotations

import numpy as np

_CELL_S = 0.02
_LOWEST_DB, _STEP_DB, _STEPS = -120.0, 1.0, 140
_FLOOR_SHARE = 0.1  #: the noise floor is this quantile of the cells' levels
_SILENT_DB = -60.0  #: power relative to the loudest channel, below which a channel is silent
_NOISIER_DB = 20.0
_CANCELLED_DB = -6.0  #: power of the mean relative to the quieter channel, up to which two channels cancel


class ChannelMeter:
    """Measures the levels of channels and of their mean, in constant memory."""

    def __init__(self, channels: int, sample_rate: int) -> None:
        self._cell = max(1, round(_CELL_S * sample_rate))
        self._power = np.zeros(channels)  # sums of squares
        self._of_mean = 0.0
        self._cells = np.zeros((channels, _STEPS), dtype=np.int64)  # counts by level

    def add(self, samples: np.ndarray) -> None:
        """Adds samples [n, channels]."""
        count, channels = len(samples) // self._cell, samples.shape[1]
        columns = np.ascontiguousarray(samples.T)  # sums along rows are many times faster than across them
        whole = columns[:, : count * self._cell].reshape(channels, count, self._cell)
        cells = np.einsum("ckn,ckn->ck", whole, whole)
        rest = columns[:, count * self._cell :]
        self._power += cells.sum(axis=1, dtype=float) + np.einsum("cn,cn->c", rest, rest)
        means = columns.mean(axis=0)
        self._of_mean += float(np.dot(means, means))
        steps = (_decibels(cells / self._cell) - _LOWEST_DB) / _STEP_DB
        for counts, levels in zip(self._cells, steps.astype(int).clip(0, _STEPS - 1), strict=True):
            counts += np.bincount(levels, minlength=_STEPS)

    def remarks(self, inverted: list[int]) -> list[str]:
        """One line for each problem found. ``inverted``: the channels whose polarity was inverted."""
        if not self._power.any():
            return ["it is silent throughout"]
        silent = self._silent()
        kept = [n for n in range(len(self._power)) if n not in silent]
        lines = []
        if silent:
            verb = "is" if len(silent) == 1 else "are"
            lines.append(f"{_channels(silent)} of {len(self._power)} {verb} silent and left out")
        lines += self._noisy(kept)
        if cancelling := self._cancelling(kept, inverted):
            lines.append(cancelling)
        return lines

    def _silent(self) -> list[int]:
        levels = _decibels(self._power / self._power.max())
        return [n for n, level in enumerate(levels) if level < _SILENT_DB]

    def _noisy(self, kept: list[int]) -> list[str]:
        floors = {n: _quantile(self._cells[n]) for n in kept}
        quietest = min(kept, key=lambda n: floors[n])
        noisy = [n for n in kept if floors[n] >= floors[quietest] + _NOISIER_DB]
        return [
            f"channel {n + 1} has a noise floor {floors[n] - floors[quietest]:.0f} dB above that of channel "
            f"{quietest + 1}; {_alone(quietest)}"
            for n in noisy
        ]

    def _cancelling(self, kept: list[int], inverted: list[int]) -> str | None:
        turned = [n for n in inverted if n in kept]
        below_db = float(_decibels(self._of_mean / self._power[kept].min())) if len(self._power) == 2 else 0.0
        cancelled = below_db <= _CANCELLED_DB
        if len(kept) < 2 or not (turned or cancelled):
            return None
        how = f"their mean is {-below_db:.0f} dB below either" if cancelled else "opposite polarity"
        what = f"; the mix inverts {_channels(turned)}" if turned else ""
        return f"the channels cancel each other ({how}){what}; {_alone(kept[0])}"


def _channels(numbers: list[int]) -> str:
    said = ", ".join(str(n + 1) for n in numbers)
    return f"channel{'' if len(numbers) == 1 else 's'} {said}"


def _alone(number: int) -> str:
    return f"to use channel {number + 1} alone: --input-channel {number + 1}"


def _decibels(power: np.ndarray | float) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 10 ** (_LOWEST_DB / 10)))


def _quantile(counts: np.ndarray) -> float:
    """The level in dB below which ``_FLOOR_SHARE`` of the cells lie."""
    step = int(np.searchsorted(np.cumsum(counts), _FLOOR_SHARE * counts.sum()))
    return _LOWEST_DB + step * _STEP_DB
