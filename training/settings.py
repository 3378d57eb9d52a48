"""A training run's settings: small frozen dataclasses that check themselves. ``recipe.py`` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..model import checkpoint
from ..model.checkpoint import DEFAULT
from ..model.config import CONFIGS, NetworkConfig
from ..model.timebase import FRAME_S
from .data.augmentation import Augmentation
from .losses import Losses
from .schedule import Phase, Schedule, count

#: Settings of a source that have no meaning for arrays.
_OF_SOUND = ("delay_ms", "kept", "offset_weight", "pedalled_weight", "render")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
WEIGHTS = ("initialize_from", "teacher")  #: the settings that name a checkpoint
SHIPPED = "default"  #: name of the package's weights in these settings


def weights_of(name: str) -> Path:
    """The checkpoint that ``initialize_from`` or ``teacher`` names."""
    return DEFAULT if name == SHIPPED else Path(name).expanduser()


def read_weights(path: Path, setting: str) -> checkpoint.Checkpoint:
    """Reads a checkpoint. Raises ValueError, naming the setting, for other files."""
    try:
        return checkpoint.read(path)
    except checkpoint.CheckpointError as error:
        raise ValueError(f"{error}; {setting} expects a checkpoint") from error


@dataclass(frozen=True)
class Rendering:
    """How a source's MIDI performances are rendered, one after another during training.

    A step draws from the first ``first + step // every`` performances, in an order shuffled by ``seed``. The
    excerpts of a step depend on its number alone, not on how fast a machine renders.
    """

    pianos: tuple[tuple[str, float], ...]  #: sound fonts and their relative frequencies
    first: int = 8  #: performances that step 0 draws from
    every: int = 8  #: steps after which one more performance is added
    seed: int = 0
    velocity_exponent: tuple[float, float] = (0.75, 2.0)  #: range of the exponent that bends velocities
    velocity_spread: tuple[float, float] = (1.0, 1.0)  #: range of the factor on their distance from the mean
    velocity_shift: tuple[float, float] = (0.0, 0.0)  #: range of the MIDI steps added to all velocities
    restrike_chance: float = 0.0  #: chance that a performance has repeated notes added
    chord_chance: float = 0.0  #: chance that other keys are played together with some of its notes
    pedal_threshold: tuple[int, int] = (64, 64)  #: range of the value from which the pedal frees the strings
    key_releases: str = ""  #: folder of recorded key releases, KEY.flac, to mix in where keys come up
    key_release_chance: float = 2 / 3  #: chance that a performance has them

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
    delay_ms: float = 0.0  #: delay of its audible onsets after its labels, relative to other sources
    name: str = ""  #: default: the folder
    only: str = "*"  #: pattern of names to take
    without: tuple[str, ...] = ()  #: patterns of names to leave out
    kept: tuple[str, ...] = ()  #: names to hold out, instead of the rule of ``held_out``
    offset_weight: float = 1.0  #: weight of the frame and offset losses: lower for less reliable note ends
    pedalled_weight: float = 1.0  #: replaces ``offset_weight`` while the pedal is down
    render: Rendering | None = None
    arrays: bool = False  #: whether it holds spectra and targets (hppnet prepare --arrays) instead of sound

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
                    f"{f.name} is for sources of sound, this one has arrays: leave {f.name} out, "
                    "or set arrays = false"
                )

    @property
    def title(self) -> str:
        return self.name or self.folder

    def takes(self, name: str) -> bool:
        """Whether the recording or performance of this name belongs to the source."""
        return fnmatchcase(name, self.only) and not any(fnmatchcase(name, one) for one in self.without)


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of one training run."""

    sources: tuple[DataSource, ...]
    folder: str = ""  #: where checkpoints and logs go
    cache: str = ""  #: where decoded and rendered sound is kept
    data: str = ""  #: the folder that sources, rooms, noises and pianos are relative to
    config: str = "default"  #: a named network
    network: NetworkConfig | None = None  #: sizes other than ``config``'s; a recipe lists the differences
    initialize_from: str = ""  #: a checkpoint whose weights a new run begins with, or "default"
    initial_share: float = 0.0  #: share of the weights of ``initialize_from`` in the final ones
    teacher: str = ""  #: a checkpoint, or "default", whose features without room and noise are the target
    batch: int = 4  #: excerpts a step, over all processes
    accumulate: int = 1  #: parts into which a process splits its share of a batch, to save memory
    frames: int = 256  #: length of an excerpt
    chunk: int = 8  #: frames that share a backward window
    full_context: float = 0.33  #: chance that the backward LSTM sees the whole excerpt
    look_ahead: tuple[int, int] = (0, 8)  #: range of the look-ahead R (frames) otherwise
    precision: str = "auto"  #: convolutions in bf16 (auto: if the device has it), fp16 (scaled), fp32
    compile: bool = False  #: compile the convolutions with torch.compile
    workers: int = 0  #: processes that draw excerpts ahead, for each process that trains
    held_out: int = 20  #: one recording in this many is held out, at least one a source; 0: none
    held_out_most: int = 0  #: held-out recordings used per source, to validate and for thresholds; 0: all
    releases_hours: float = 0.0  #: sound to fit the network to that chooses notes' ends; 0: there is none
    validation: tuple[DataSource, ...] = ()  #: folders to validate on; nothing is held out then
    validate_every: int = 1_000  #: steps between validations; 0: never
    validate_s: float = 20.0  #: length validated of each recording
    save_every: int = 250  #: steps between saves
    tensorboard: bool = True  #: scalars and pictures, where TensorBoard is installed
    seed: int = 0
    minutes: float = 0.0  #: training time; the schedule is stretched to the steps that fit; 0: no limit
    schedule: Schedule = field(default_factory=Schedule)
    losses: Losses = field(default_factory=Losses)
    phases: tuple[Phase, ...] = ()
    augmentation: Augmentation = field(default_factory=Augmentation)
    text: str = ""  #: the recipe's text, stored in the checkpoint

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
        for name in ("workers", "held_out", "held_out_most", "releases_hours", "validate_every", "minutes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.validate_s <= 0:
            raise ValueError(f"validate_s must be positive, got {self.validate_s}")
        if not 0 <= self.initial_share < 1 or (self.initial_share and not self.initialize_from):
            raise ValueError(
                "initial_share must be at least 0 and below 1, and needs initialize_from, "
                f"got {self.initial_share:g} and {self.initialize_from!r}"
            )
        low, high = self.look_ahead
        if not 0 <= low <= high or not 0 <= self.full_context <= 1:
            raise ValueError("look_ahead must be two numbers of frames in order, full_context 0 to 1")
        if self.frames < self.chunk + high:
            raise ValueError(f"frames must be at least chunk + look-ahead, got {self.frames}")
        self._check_arrays()
        self._check_phases()

    def _check_arrays(self) -> None:
        """Raises ValueError where only some sources hold arrays, or where a setting needs their sound."""
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
                "sources with arrays hold out nothing to validate on: add a [[validation]] folder, "
                "or set held_out = 0"
            )

    def _check_phases(self) -> None:
        titles = [source.title for source in self.sources]
        if len(set(titles)) < len(titles):
            raise ValueError(
                f"expected sources of different names, got {', '.join(titles)}; give them a name"
            )
        if clash := [name for name in WEIGHTS if name in titles and getattr(self, name)]:
            raise ValueError(f"expected a source of another name than {clash[0]}, which is a setting")
        for number, phase in enumerate(self.phases):
            weights = dict(phase.weights or ())
            if unknown := set(weights) - set(titles):
                known = ", ".join(titles)
                raise ValueError(f"phases.{number}.weights: no source {sorted(unknown)}; known are {known}")
            if not any(weights.get(title, 1) for title in titles):
                raise ValueError(f"phases.{number}.weights: expected at least one above 0, got 0 for all")
            self._with(phase)  # the new settings check themselves
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
        """The step after the last one of each phase. After the last phase the run's own settings apply."""
        ends, steps = [0], self.schedule.steps
        for phase in self.phases:
            ends.append(min(steps, ends[-1] + max(1, count(phase.steps, steps))))
        return ends[1:]

    def at(self, step: int) -> TrainingSettings:
        """The settings of a step, counted from 0: its phase's changes are applied, ``phases`` is empty."""
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
        """The path of a file or folder named in the recipe, relative to ``data``."""
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
