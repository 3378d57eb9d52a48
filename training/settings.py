"""A training run's settings, read from TOML: small dataclasses that check themselves."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..model.config import CONFIGS, NetworkConfig
from .augmentation import Augmentation
from .losses import Losses
from .schedule import Phase, Schedule

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRECISIONS = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Source:
    """A folder of recordings with labels, and how often it is drawn from."""

    folder: str
    weight: float = 1.0
    delay_ms: float = 0.0  #: how much later its attacks are heard after their labels than other sources'

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError(f"a source's weight must be above 0, got {self.weight:g}")


@dataclass(frozen=True)
class Settings:
    """One training run."""

    sources: tuple[Source, ...]
    folder: str  #: where checkpoints and logs go
    cache: str  #: where decoded sound is kept
    config: str = "default"  #: a named network
    network: NetworkConfig | None = None  #: other sizes than that network's: a table of what differs
    begin: str = ""  #: a checkpoint that a new run goes on from, or "shipped"
    teacher: str = ""  #: a checkpoint, or "shipped": what its features are without room and noise is wanted
    batch: int = 4  #: excerpts a step, over all processes
    accumulate: int = 1  #: turns in which a process takes its part of a batch, to save memory
    frames: int = 256  #: of an excerpt
    chunk: int = 8  #: frames that share a backward window
    full_context: float = 0.33  #: how often the backward LSTM sees the whole excerpt
    look_ahead: tuple[int, int] = (0, 8)  #: R is drawn from here otherwise
    precision: str = "bf16"  #: of the convolutions; or fp16 (with a gradient scaler), fp32
    compile: bool = False  #: the convolutions by torch.compile
    workers: int = 0  #: processes that draw excerpts ahead, for each process that trains
    held_out: int = 20  #: of every so many recordings one is kept back, for validation and thresholds
    validation: tuple[Source, ...] = ()  #: folders to validate on; then nothing is kept back
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
        if min(self.workers, self.held_out, self.validate_every, self.minutes) < 0 or self.validate_s <= 0:
            raise ValueError(
                "workers, held_out, validate_every and minutes must not be negative, validate_s positive"
            )
        low, high = self.look_ahead
        if not 0 <= low <= high or not 0 <= self.full_context <= 1:
            raise ValueError("look_ahead must be two numbers of frames in order, full_context 0 to 1")
        if self.frames < self.chunk + high:
            raise ValueError(f"frames must be at least chunk + look-ahead, got {self.frames}")
        until = [phase.until for phase in self.phases]
        if until != sorted(set(until)):
            raise ValueError(f"[[phases]] must come in the order of their until, got {until}")

    @property
    def sizes(self) -> NetworkConfig:
        """The network that is trained."""
        return self.network or CONFIGS[self.config]

    def losses_at(self, step: int) -> Losses:
        """The losses of a step, counted from 0: its phase's; after the last phase the run's own."""
        phase = self._phase(step)
        return phase.losses if phase else self.losses

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        phase = self._phase(step)
        return self.schedule.rate(step, phase.learning_rate if phase else None)

    def _phase(self, step: int) -> Phase | None:
        return next((phase for phase in self.phases if step < phase.until), None)


def read(path: Path) -> Settings:
    """Settings from a TOML file. Raises ValueError naming the file and what is wrong in it."""
    try:
        return _settings(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path}: expected a settings file, cannot be read ({error.strerror})") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _settings(raw: dict[str, Any]) -> Settings:
    _check_keys(Settings, raw, "")
    for name in ("sources", "validation"):
        raw[name] = tuple(_build(Source, table, f"[[{name}]]") for table in _tables(raw, name))
    for name, kind in (("schedule", Schedule), ("augmentation", Augmentation)):
        raw[name] = _build(kind, raw.get(name, {}), f"[{name}]")
    losses = raw.get("losses", {})
    raw["losses"] = _build(Losses, losses, "[losses]")
    raw["phases"] = tuple(_phase(table, losses) for table in _tables(raw, "phases"))
    if "network" in raw:
        named = CONFIGS.get(raw.get("config", "default"), NetworkConfig())
        changed = {"name": f"{named.name}, changed", **raw["network"]}
        raw["network"] = _build(NetworkConfig, {**dataclasses.asdict(named), **changed}, "[network]")
    return _build(Settings, raw)


def _phase(table: dict[str, Any], losses: dict[str, Any]) -> Phase:
    """A phase says what differs from [losses]."""
    changed = {**losses, **table.get("losses", {})}
    phase: Phase = _build(Phase, {**table, "losses": _build(Losses, changed, "[[phases]]")}, "[[phases]]")
    return phase


def _tables(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    tables = raw.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"expected [[{name}]] tables, got {tables!r}")
    return tables


def _check_keys(kind: Any, values: dict[str, Any], where: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"expected a table {where}, got {values!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    place = f"{where}: " if where else ""
    if unknown := set(values) - set(fields):
        raise ValueError(f"{place}unknown settings {sorted(unknown)}; known are {sorted(fields)}")
    needed = {name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    if missing := sorted(needed - set(values) - {"sources"}):
        raise ValueError(f"{place}expected {', '.join(missing)}, got none")


def _build(kind: Any, values: dict[str, Any], where: str = "") -> Any:
    _check_keys(kind, values, where)
    given = {name: _tuples(value) for name, value in values.items()}
    for f in dataclasses.fields(kind):
        if f.name in given:
            _check_type(f, given[f.name])
    return kind(**given)


#: What a setting of a type may be in TOML; a whole number may stand for any number.
_IN_TOML: dict[str, Any] = {
    "int": int,
    "float": (int, float),
    "float | None": (int, float),
    "str": str,
    "bool": bool,
    "tuple[int, int]": tuple,
    "tuple[float, float]": tuple,
}


def _check_type(f: dataclasses.Field[Any], value: Any) -> None:
    kind = str(f.type)
    wanted = _IN_TOML.get(kind)
    if wanted is None:
        return
    fits = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
    if not fits or (wanted is tuple and len(value) != 2):
        said = {"tuple[int, int]": "two whole numbers", "tuple[float, float]": "two numbers"}.get(kind, kind)
        raise ValueError(f"{f.name}: expected {said}, got {value!r}")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
