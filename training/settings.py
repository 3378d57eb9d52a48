"""A training run's settings: small frozen dataclasses that check themselves. ``recipe.py`` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..model.config import CONFIGS, NetworkConfig
from ..model.timebase import FRAME_S
from .data.augmentation import Augmentation
from .losses import Losses
from .schedule import Phase, Schedule, count

#: Settings of a source that mean nothing where it holds arrays.
_OF_SOUND = ("delay_ms", "kept", "offset_weight", "pedalled_weight", "render")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Rendering:
    """How a source's MIDI performances are rendered, one after another while the training goes on.

    A step draws from the first ``first + step // every`` of them, in an order that ``seed`` shuffles: what
    a step sees depends on its number alone, not on how fast a machine renders.
    """

    pianos: tuple[tuple[str, float], ...]  #: sound fonts, and how often each is drawn
    first: int = 8  #: performances that step 0 draws from
    every: int = 8  #: steps until there is one more
    seed: int = 0
    velocity_exponent: tuple[float, float] = (0.75, 2.0)  #: range of the exponent that bends velocities
    velocity_spread: tuple[float, float] = (1.0, 1.0)  #: of the factor on their distance from the mean
    velocity_shift: tuple[float, float] = (0.0, 0.0)  #: of the MIDI steps that are added to all
    restrike_chance: float = 0.0  #: how often a performance has repeated notes added
    chord_chance: float = 0.0  #: how often other keys are played together with some of its notes
    pedal_threshold: tuple[int, int] = (64, 64)  #: range of the value from which the pedal frees the strings
    key_releases: str = ""  #: folder of recorded key releases, KEY.flac, to mix in where keys come up
    key_release_chance: float = 2 / 3  #: how often a performance has them

    def __post_init__(self) -> None:
        if not self.pianos or min(weight for _, weight in self.pianos) <= 0:
            raise ValueError('render: expected pianos = { "FILE.sf3" = WEIGHT } with weights above 0')
        if self.first < 1 or self.every < 1 or self.seed < 0:
            raise ValueError("render: first and every must be at least 1, seed must not be negative")
        for name in ("velocity_exponent", "velocity_spread"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"render: {name} must be two positive numbers in order, got {low}, {high}")
        for name in ("restrike_chance", "chord_chance", "key_release_chance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"render: {name} must lie between 0 and 1, got {getattr(self, name):g}")
        if self.velocity_shift[0] > self.velocity_shift[1]:
            raise ValueError("render: velocity_shift must be two numbers in order")
        if not 1 <= self.pedal_threshold[0] <= self.pedal_threshold[1] <= 127:
            raise ValueError("render: pedal_threshold must be two numbers from 1 to 127 in order")


@dataclass(frozen=True)
class DataSource:
    """A folder of recordings with labels, or of MIDI performances to render, and how often it is drawn."""

    folder: str  #: relative to --data
    weight: float = 1.0
    delay_ms: float = 0.0  #: how much later than its labels its onsets are audible, against other sources
    name: str = ""  #: by default the folder
    only: str = "*"  #: pattern of names to take
    without: tuple[str, ...] = ()  #: patterns of names to leave out
    kept: tuple[str, ...] = ()  #: names to keep back, in place of the rule of ``held_out``
    offset_weight: float = 1.0  #: of the frame and offset losses, where labels are less sure about ends
    pedalled_weight: float = 1.0  #: in place of ``offset_weight`` while the pedal is down
    render: Rendering | None = None
    arrays: bool = False  #: spectra and targets as hppnet prepare --arrays leaves them, in place of sound

    def __post_init__(self) -> None:
        if self.arrays:
            self._check_arrays()
        if self.weight <= 0:
            raise ValueError(f"a source's weight must be above 0, got {self.weight:g}")
        if min(self.offset_weight, self.pedalled_weight) < 0:
            raise ValueError("offset_weight and pedalled_weight must not be negative")

    def _check_arrays(self) -> None:
        for f in fields(self):
            if f.name in _OF_SOUND and getattr(self, f.name) != f.default:
                raise ValueError(
                    f"arrays are drawn from as they are: leave {f.name} out, or set arrays = false"
                )

    @property
    def title(self) -> str:
        return self.name or self.folder

    def takes(self, name: str) -> bool:
        """Whether the recording or performance of this name belongs to it."""
        return fnmatchcase(name, self.only) and not any(fnmatchcase(name, one) for one in self.without)


@dataclass(frozen=True)
class TrainingSettings:
    """One training run."""

    sources: tuple[DataSource, ...]
    folder: str = ""  #: where checkpoints and logs go
    cache: str = ""  #: where decoded and rendered sound is kept
    data: str = ""  #: the folder that sources, rooms, noises and pianos are relative to
    config: str = "default"  #: a named network
    network: NetworkConfig | None = None  #: other sizes than that network's: a table of what differs
    initialize_from: str = ""  #: a checkpoint whose weights a new run begins with, or "default"
    teacher: str = ""  #: a checkpoint, or "default", whose features without room and noise are the target
    batch: int = 4  #: excerpts a step, over all processes
    accumulate: int = 1  #: turns in which a process takes its part of a batch, to save memory
    frames: int = 256  #: of an excerpt
    chunk: int = 8  #: frames that share a backward window
    full_context: float = 0.33  #: how often the backward LSTM sees the whole excerpt
    look_ahead: tuple[int, int] = (0, 8)  #: R is drawn from here otherwise
    precision: str = "auto"  #: of the convolutions: bf16 (auto: where a device has it), fp16 (scaled), fp32
    compile: bool = False  #: the convolutions by torch.compile
    workers: int = 0  #: processes that draw excerpts ahead, for each process that trains
    held_out: int = 20  #: of every so many recordings one is kept back, at least one a source; 0: none
    held_out_most: int = 0  #: how many of those a source contributes to validation and thresholds; 0: all
    validation: tuple[DataSource, ...] = ()  #: folders to validate on; then nothing is kept back
    validate_every: int = 1_000  #: steps; 0: never
    validate_s: float = 20.0  #: of each recording
    save_every: int = 250  #: steps
    tensorboard: bool = True  #: scalars and pictures, where TensorBoard is installed
    seed: int = 0
    minutes: float = 0.0  #: how long to train: the schedule is stretched to as many steps; 0: as it is
    schedule: Schedule = field(default_factory=Schedule)
    losses: Losses = field(default_factory=Losses)
    phases: tuple[Phase, ...] = ()
    augmentation: Augmentation = field(default_factory=Augmentation)
    text: str = ""  #: of the recipe, for the checkpoint

    def __post_init__(self) -> None:
        if self.config not in CONFIGS:
            raise ValueError(f"config must be one of {', '.join(CONFIGS)}, got {self.config!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if not self.sources:
            raise ValueError("expected at least one [[sources]] with a folder, got none")
        for name in ("batch", "accumulate", "chunk", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("workers", "held_out", "held_out_most", "validate_every", "minutes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.validate_s <= 0:
            raise ValueError(f"validate_s must be positive, got {self.validate_s}")
        low, high = self.look_ahead
        if not 0 <= low <= high or not 0 <= self.full_context <= 1:
            raise ValueError("look_ahead must be two numbers of frames in order, full_context 0 to 1")
        if self.frames < self.chunk + high:
            raise ValueError(f"frames must be at least chunk + look-ahead, got {self.frames}")
        self._check_arrays()
        self._check_phases()

    def _check_arrays(self) -> None:
        """All sources hold arrays or none: what is done to sound cannot be done to them."""
        if any(source.arrays for source in self.validation):
            raise ValueError(
                "[[validation]]: expected recordings, they are transcribed whole; leave arrays out"
            )
        if not any(source.arrays for source in self.sources):
            return
        if not all(source.arrays for source in self.sources):
            raise ValueError("expected arrays = true for all [[sources]] or for none, got both")
        if self.augmentation != Augmentation() or any(phase.augmentation for phase in self.phases):
            raise ValueError("sources with arrays have no sound to vary: leave out augmentation")
        if self.held_out and not self.validation:
            raise ValueError(
                "sources with arrays keep nothing back: name [[validation]], or set held_out = 0"
            )

    def _check_phases(self) -> None:
        titles = [source.title for source in self.sources]
        if len(set(titles)) < len(titles):
            raise ValueError(
                f"expected sources of different names, got {', '.join(titles)}; give them a name"
            )
        for number, phase in enumerate(self.phases):
            if unknown := set(dict(phase.weights or ())) - set(titles):
                known = ", ".join(titles)
                raise ValueError(f"phases.{number}.weights: no source {sorted(unknown)}; known are {known}")
            self._with(phase)  # checks itself
        steps = self.schedule.steps
        taken = sum(phase.steps if phase.steps >= 1 else phase.steps * steps for phase in self.phases)
        if taken > steps + 1e-6:
            raise ValueError(f"the phases take {taken:g} steps, the schedule has {steps}")

    @property
    def sizes(self) -> NetworkConfig:
        """The network that is trained."""
        return self.network or CONFIGS[self.config]

    @property
    def phase_ends(self) -> list[int]:
        """The step after the last one of each phase; after the last phase the run's own settings hold."""
        ends, steps = [0], self.schedule.steps
        for phase in self.phases:
            ends.append(min(steps, ends[-1] + max(1, count(phase.steps, steps))))
        return ends[1:]

    def at(self, step: int) -> TrainingSettings:
        """The settings of a step, counted from 0: with its phase's changes, and without phases."""
        phase = self._phase(step)
        return replace(self, phases=()) if phase is None else self._with(phase)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        phase = self._phase(step)
        return self.schedule.rate(step, phase.learning_rate if phase else None)

    def hours(self, steps: int) -> float:
        """How much sound the first ``steps`` steps train on, in hours."""
        ends = [0, *(min(end, steps) for end in self.phase_ends), steps]
        parts = ((b - a, self.at(a)) for a, b in pairwise(ends) if b > a)
        return sum(n * how.batch * how.frames * FRAME_S for n, how in parts) / 3600

    def path(self, name: str) -> Path:
        """A file or folder that the recipe names."""
        return Path(self.data, name).expanduser()

    def _phase(self, step: int) -> Phase | None:
        found = zip(self.phases, self.phase_ends, strict=True)
        return next((phase for phase, end in found if step < end), None)

    def _with(self, phase: Phase) -> TrainingSettings:
        changes: dict[str, Any] = phase.changes()
        weights = dict(phase.weights or ())
        changes["sources"] = tuple(
            replace(source, weight=weight)
            for source in self.sources
            if (weight := weights.get(source.title, source.weight))
        )
        return replace(self, phases=(), **changes)
