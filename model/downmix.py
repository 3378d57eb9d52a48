"""Mixes the channels of a recording or a sound card to one, block by block and without delay.

A plain mean can ruin a recording: a channel with inverted polarity cancels another, one piano among eight
channels becomes 18 dB quieter, hiss in one channel covers the piano in another. So the weights adapt to the
sound. Every 2.5 ms (a cell; 20 ms after the first 2 s of sound) powers and correlations of the channels are
measured, and the weights for the next cell follow from all cells so far:

* a channel whose noise floor is 20 dB above another's is left out while its signal-to-noise ratio is 10 dB
  lower than the other's, or while it contains only hiss (adjacent samples are hardly correlated);
* a channel 40 dB below the loudest is left out;
* a channel whose correlation with the loudest is below -0.5 (-0.9 in the first 2 s of sound) is inverted;
* all other channels have equal weights: two good channels give exactly their mean.

Each decision has hysteresis. Cells 20 dB below the usual level are ignored, and cells in which no channel is
10 dB above its noise floor hardly count, so pauses change no weights. The result does not depend on the sizes
of the blocks. ``realtime/web/page/downmix.js`` implements the same rule for the browser.
"""

from __future__ import annotations

import math

import numpy as np

CELL_S, LATER_CELL_S = 0.0025, 0.02
MEMORY_S = 10.0  #: averaging time of powers and correlations, in seconds of non-quiet sound
LEVEL_FALL_S = 30.0  #: time constant with which the usual level falls after louder sound
QUIET = 0.01  #: share of the usual power below which a cell is ignored
FLOOR_RISE_S = 2.0  #: time constant with which the estimated noise floor rises
SMALLEST = 1e-12  #: power of digital silence, -120 dBFS

SILENT, AUDIBLE = 1e-4, 1e-3  #: shares of the largest power: left out below SILENT, used again above AUDIBLE
NOISIER = 100.0  #: ratio of noise floors
WORSE, AS_GOOD = 10.0, 3.0  #: factors between signal-to-noise ratios: left out above, used again below
SIGNAL = 10.0  #: ratio of power to noise floor above which a cell contains a signal
HISS = 0.5  #: correlation of adjacent samples below which a channel is hiss; a piano's is higher
NOISE_COUNTS = 0.001  #: weight of a cell of noise relative to a cell of signal
SURE_AFTER_S = 2.0
#: Correlations below which a channel is inverted and above which it is restored, at first and later. The
#: first pair is stricter: measured over a few milliseconds, low sounds may look inverted.
OPPOSED_AT_FIRST, OPPOSED = (-0.9, -0.5), (-0.5, 0.0)
LOUDER = 4.0  #: ratio of powers above which a louder channel becomes the reference for polarities


class Downmix:
    """Samples [n, channels] in, samples [n] out, float32; keeps its state from block to block."""

    def __init__(self, channels: int, sample_rate: int) -> None:
        if channels < 1:
            raise ValueError(f"expected one channel or more, got {channels}")
        self.channels = channels
        self._rate = sample_rate
        self._ramp = np.linspace(0, 1, round(CELL_S * sample_rate) // 2 + 1, dtype=np.float32)[1:]
        self.reset()

    def reset(self) -> None:
        """Starts anew."""
        count = self.channels
        self._set_cell(CELL_S)
        self.signs = [1.0] * count  #: -1: inverted
        self.silent = [False] * count
        self.noisy = [False] * count
        self._reference = 0
        self._products = [[0.0] * count for _ in range(count)]
        self._neighbours = [0.0] * count  # mean products of adjacent samples
        self._floors: list[float] = []
        self._usual = 0.0  # recent power of the loudest channel
        self._decided_s = 0.0  # seconds of non-quiet sound
        self._weights = self._before = tuple([1 / count] * count)  # this cell's, the previous cell's
        self._begun = np.zeros((0, count), dtype=np.float32)  # the samples of this cell so far

    def _set_cell(self, seconds: float) -> None:
        self._cell = round(seconds * self._rate)  # samples
        self._cell_s = seconds
        self._level_kept = math.exp(-seconds / LEVEL_FALL_S)
        self._floor_rise = math.exp(seconds / FLOOR_RISE_S)

    @property
    def weights(self) -> tuple[float, ...]:
        """The current weight of each channel, negative if inverted."""
        return self._weights

    @property
    def signal_s(self) -> float:
        """Duration of non-quiet sound so far, in seconds."""
        return self._decided_s

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Mixes the next samples [n, channels] to one channel [n]."""
        samples = np.asarray(samples, dtype=np.float32)
        if self.channels == 1:
            return np.ascontiguousarray(samples[:, 0])
        begun = len(self._begun)
        joined = np.concatenate([self._begun, samples]) if begun else samples
        count = len(joined) // self._cell
        with np.errstate(over="ignore", invalid="ignore"):  # a broken device: ``_learn`` skips its samples
            products, neighbours = self._correlations(joined[: count * self._cell])
        changes = [(0, self._before, self._weights)]  # cell, weights before it and from it on
        learned = 0
        for product, neighbour in zip(products.tolist(), neighbours.tolist(), strict=True):
            learned += 1
            weights = self._learn(product, neighbour)
            if weights != self._weights:
                changes.append((learned, self._weights, weights))
                self._weights = weights
            if self._cell_s != LATER_CELL_S and self._decided_s >= SURE_AFTER_S:
                break
        self._before = changes[-1][1] if changes[-1][0] == learned else self._weights
        if learned < count or (self._cell_s != LATER_CELL_S and self._decided_s >= SURE_AFTER_S):
            return self._go_on_later(samples, changes, begun, learned * self._cell - begun)
        self._begun = joined[count * self._cell :].copy()
        return self._mix(samples, changes, begun)

    def _correlations(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean products of channels and of adjacent samples, in each cell of samples [n, channels].

        Shapes: [cells, channels, channels] and [cells, channels].
        """
        cells = np.ascontiguousarray(samples.T).reshape(self.channels, -1, self._cell)
        products = np.empty((cells.shape[1], self.channels, self.channels), dtype=np.float32)
        for i in range(self.channels):
            for j in range(i + 1):
                products[:, i, j] = products[:, j, i] = np.einsum("kn,kn->k", cells[i], cells[j])
        neighbours = np.einsum("ckn,ckn->kc", cells[:, :, 1:], cells[:, :, :-1])
        return products / np.float32(self._cell), neighbours / np.float32(self._cell - 1)

    def _go_on_later(self, samples: np.ndarray, changes: list[_Change], begun: int, mixed: int) -> np.ndarray:
        """Mixes the first ``mixed`` samples, then the rest in longer cells."""
        out = self._mix(samples[:mixed], changes, begun)
        self._set_cell(LATER_CELL_S)
        self._begun = self._begun[:0]
        return np.concatenate([out, self.feed(samples[mixed:])])

    def _mix(self, samples: np.ndarray, changes: list[_Change], begun: int) -> np.ndarray:
        out = np.empty(len(samples), dtype=np.float32)
        ends = [cell * self._cell - begun for cell, _, _ in changes[1:]] + [len(samples)]
        for (cell, before, weights), end in zip(changes, ends, strict=True):
            start = cell * self._cell - begun
            first = max(0, start)
            out[first:end] = _weighted(samples[first:end], weights)
            ramp = self._ramp[first - start : end - start]
            if before != weights and len(ramp):
                new = out[first : first + len(ramp)]
                old = _weighted(samples[first : first + len(ramp)], before)
                out[first : first + len(ramp)] = old + ramp * (new - old)
        return out

    def _learn(self, product: list[list[float]], neighbours: list[float]) -> tuple[float, ...]:
        """Updates the statistics with a cell's mean products of channels and of adjacent samples.

        Returns the weights from the next cell on.
        """
        if not math.isfinite(sum(map(sum, product))):
            return self._weights  # a broken device; its samples are replaced later
        powers = [max(SMALLEST, product[i][i]) for i in range(self.channels)]
        self._follow_floors(powers)
        loudest = max(powers)
        self._usual = max(loudest, self._usual * self._level_kept)
        if loudest < QUIET * self._usual or loudest <= SMALLEST:
            return self._weights
        signal = any(power > SIGNAL * floor for power, floor in zip(powers, self._floors, strict=True))
        counted_s = self._cell_s * (1.0 if signal else NOISE_COUNTS)
        self._decided_s += counted_s
        new = counted_s / min(self._decided_s, MEMORY_S)  # at first a mean, later a leaky one
        for kept, came in zip([*self._products, self._neighbours], [*product, neighbours], strict=True):
            for i, value in enumerate(came):
                kept[i] += new * (value - kept[i])
        return self._decide()

    def _follow_floors(self, powers: list[float]) -> None:
        if not self._floors:
            self._floors = powers
        self._floors = [
            min(power, floor * self._floor_rise) for floor, power in zip(self._floors, powers, strict=True)
        ]

    def _decide(self) -> tuple[float, ...]:
        powers = [max(SMALLEST, self._products[i][i]) for i in range(self.channels)]
        self._find_noisy(powers)
        clean = [0.0 if noisy else power for noisy, power in zip(self.noisy, powers, strict=True)]
        loudest = max(clean)
        for i, power in enumerate(clean):
            self.silent[i] = power < (AUDIBLE if self.silent[i] else SILENT) * loudest
        used = [not noisy and not silent for noisy, silent in zip(self.noisy, self.silent, strict=True)]
        if not used[self._reference] or loudest > LOUDER * clean[self._reference]:
            self._reference = clean.index(loudest)
        self._find_opposed(powers)
        share = 1 / sum(used)
        return tuple(share * sign if use else 0.0 for use, sign in zip(used, self.signs, strict=True))

    def _find_noisy(self, powers: list[float]) -> None:
        floors = self._floors
        if not any(self.noisy) and max(floors) <= NOISIER * min(floors):
            return  # true of nearly all recordings: no channel can become noisy
        ratios = [power / floor for power, floor in zip(powers, floors, strict=True)]
        for i, was in enumerate(self.noisy):
            only_hiss = ratios[i] < SIGNAL and self._neighbours[i] < HISS * powers[i]
            better = (AS_GOOD if was else WORSE) * ratios[i]
            self.noisy[i] = any(
                (was or floors[i] > NOISIER * floors[j])
                and (only_hiss or (powers[j] > SILENT * powers[i] and ratios[j] > better))
                for j in range(self.channels)
                if floors[j] < floors[i]
            )

    def _find_opposed(self, powers: list[float]) -> None:
        reference = self._reference
        below, above = OPPOSED if self._decided_s >= SURE_AFTER_S else OPPOSED_AT_FIRST
        for i in range(self.channels):
            alike = self._products[reference][i] / math.sqrt(powers[i] * powers[reference])
            alike *= self.signs[reference]
            if alike < below:
                self.signs[i] = -1.0
            elif alike > above:
                self.signs[i] = 1.0


_Change = tuple[int, tuple[float, ...], tuple[float, ...]]


def _weighted(samples: np.ndarray, weights: tuple[float, ...]) -> np.ndarray:
    """Weighted sum of channels, added one by one: rounding does not depend on the block's length."""
    out = np.zeros(len(samples), dtype=np.float32)
    for i, weight in enumerate(weights):
        if weight:
            out += np.float32(weight) * samples[:, i]
    return out
