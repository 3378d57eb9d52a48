"""The silence gate: when the network may sleep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GateSettings:
    """When silence is silence."""

    threshold_db: float = -66.0  #: half the distance from trough to crest, against full scale
    after_s: float = 5.0  #: so long below it, and the network sleeps
    pre_roll_s: float = 0.3  #: sound from before the waking that the network hears too (its windows: 0.26 s)

    def __post_init__(self) -> None:
        if self.after_s <= 0 or self.pre_roll_s < 0:
            raise ValueError(
                f"the gate needs a positive time and no negative pre-roll, got {self.after_s:g} s and "
                f"{self.pre_roll_s:g} s"
            )


class Gate:
    """Watches samples go by; ``asleep`` after enough silence, awake at the first sound."""

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self._threshold = 10 ** (settings.threshold_db / 20)
        self._quiet_s = 0.0
        self._recent = np.zeros(0, dtype=np.float32)
        self.asleep = False

    def pass_by(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Samples [n] in; out comes what the network should hear: nothing asleep, on waking the pre-roll too.

        ``asleep`` tells afterwards whether it sleeps; the samples that put it to sleep still come out.
        """
        self._quiet_s = 0.0 if self._loud(samples) else self._quiet_s + len(samples) / sample_rate
        slept, self.asleep = self.asleep, self._quiet_s >= self.settings.after_s
        before = self._recent
        keep = round(self.settings.pre_roll_s * sample_rate)
        self._recent = np.concatenate([before, samples])[-keep:] if keep else before[:0]
        if not slept:
            return samples
        return samples[:0] if self.asleep else np.concatenate([before, samples])

    def restart(self) -> None:
        """After a gap: awake, and what came before it is no pre-roll."""
        self._quiet_s, self.asleep, self._recent = 0.0, False, self._recent[:0]

    def _loud(self, samples: np.ndarray) -> bool:
        # A constant offset is no sound, so not simply the largest value.
        return bool(len(samples)) and float(samples.max() - samples.min()) / 2 >= self._threshold
