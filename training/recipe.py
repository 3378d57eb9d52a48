"""Recipes: TOML files that describe a training run, found by path or name and changed by ``--set``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ..model.config import CONFIGS, NetworkConfig
from .data.augmentation import Augmentation
from .losses import Losses
from .schedule import Phase, Schedule
from .settings import DataSource, Rendering, TrainingSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parent / "recipes"
#: Settings that may change when a run is resumed: no step depends on them.
FREE = ("folder", "cache", "data", "workers", "minutes", "tensorboard", "text")


def find(name: str) -> Path:
    """The file of a recipe, given by path or by the name of a recipe in the package."""
    path = Path(name).expanduser()
    shipped = SHIPPED / f"{name}.toml"
    return shipped if not path.is_file() and shipped.is_file() else path


def read(
    name: str | Path,
    *,
    data: Path | None = None,
    sets: Sequence[str] = (),
    folder: Path | None = None,
    cache: Path | None = None,
) -> TrainingSettings:
    """The settings of a recipe, given by path or name.

    ``sets`` are changes such as ``schedule.steps=30``; ``folder`` is by default ``runs/NAME``. Raises
    ValueError that names the file and what is wrong in it.
    """
    path = find(str(name))
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
        for change in sets:
            _set(raw, change)
        settings = _settings(raw)
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.toml")))
        raise ValueError(
            f"{path}: expected a recipe (a file, or one of {known}), cannot be read ({error.strerror})"
        ) from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return dataclasses.replace(
        settings,
        data=str(data if data is not None else settings.data),
        folder=str(folder or settings.folder or Path("runs", path.stem)),
        cache=str(cache or settings.cache or default_cache()),
        text="".join([text, *(f"# --set {change}\n" for change in sets)]),
    )


def default_cache() -> Path:
    """The default cache: a folder where the platform keeps files that can be recreated."""
    return user_cache_path("hppnet", appauthor=False) / "training"


def resolved(settings: TrainingSettings) -> dict[str, Any]:
    """All settings that steps depend on, by dotted name, with JSON's types."""
    raw = json.loads(json.dumps(dataclasses.asdict(settings)))
    return dict(_flat({name: value for name, value in raw.items() if name not in FREE}))


def digest_of(recipe: dict[str, Any]) -> str:
    """SHA-256 over the result of :func:`resolved`, without entries ``data.NAME``."""
    kept = {name: value for name, value in recipe.items() if not name.startswith("data.")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Describes the first setting that differs, with both values; None where nothing differs."""
    for name in [*before, *(name for name in now if name not in before)]:
        was, here = (json.dumps(side[name]) if name in side else "not set" for side in (before, now))
        if was != here:
            return f"{name} was {was}, now it is {here}"
    return None


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    items: Any = None
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        items = enumerate(value)
    if items is None:
        yield name, value
        return
    for key, one in items:
        yield from _flat(one, f"{name}.{key}" if name else str(key))


def _set(raw: dict[str, Any], change: str) -> None:
    """Changes a setting: ``change`` is a line of TOML whose dotted key may index tables from 0."""
    try:
        given = tomllib.loads(change)
    except ValueError:
        key, equals, value = change.partition("=")
        try:  # a string without quotes
            given = tomllib.loads(f"{key} = {json.dumps(value.strip())}") if equals and value.strip() else {}
        except ValueError:
            given = {}
        if not given or any(sign in value for sign in "[]{}\"'"):
            raise ValueError(f"--set {change}: expected NAME=VALUE in TOML, as schedule.steps=30") from None
    _merge(raw, given, change, "")


def _merge(into: Any, given: dict[str, Any], change: str, where: str) -> None:
    for key, value in given.items():
        name = f"{where}.{key}" if where else key
        at: Any = key
        if isinstance(into, list):
            if not key.isdigit() or int(key) >= len(into):
                raise ValueError(f"--set {change}: {name} expects a number below {len(into)}, got {key!r}")
            at = int(key)
        elif not isinstance(into, dict):
            raise ValueError(f"--set {change}: {where} has no settings of its own")
        there = into[at] if isinstance(into, list) else into.get(at)
        if isinstance(value, dict) and isinstance(there, (dict, list)):
            _merge(there, value, change, name)
        else:
            into[at] = value


def _settings(raw: dict[str, Any]) -> TrainingSettings:
    _check_keys(TrainingSettings, raw, "")
    for name in ("sources", "validation"):
        raw[name] = tuple(_source(table, f"[[{name}]]") for table in _tables(raw, name))
    base = {"losses": raw.get("losses", {}), "augmentation": raw.get("augmentation", {})}
    for name, kind in (("schedule", Schedule), ("augmentation", Augmentation), ("losses", Losses)):
        raw[name] = _build(kind, raw.get(name, {}), f"[{name}]")
    raw["phases"] = tuple(_phase(table, base) for table in _tables(raw, "phases"))
    if "network" in raw:
        _check_keys(NetworkConfig, raw["network"], "[network]")
        named = CONFIGS.get(raw.get("config", "default"), NetworkConfig())
        changed = {"name": f"{named.name}, changed", **raw["network"]}
        raw["network"] = _build(NetworkConfig, {**dataclasses.asdict(named), **changed}, "[network]")
    settings: TrainingSettings = _build(TrainingSettings, raw)
    return settings


def _source(table: dict[str, Any], where: str) -> DataSource:
    if "render" in table:
        _check_keys(Rendering, table["render"], f"{where} render")
        rendering = _weighted(table["render"], "pianos", f"{where} render")
        table = {**table, "render": _build(Rendering, rendering, f"{where} render")}
    source: DataSource = _build(DataSource, table, where)
    return source


def _weighted(table: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """The table with its sub-table ``name`` as pairs of a name and a weight."""
    weights = table.get(name)
    numbers = isinstance(weights, dict) and all(
        isinstance(weight, (int, float)) and not isinstance(weight, bool) for weight in weights.values()
    )
    if not isinstance(weights, dict) or not numbers:
        raise ValueError(f'{where}: expected {name} = {{ "NAME" = WEIGHT }}, got {weights!r}')
    return {**table, name: list(map(list, weights.items()))}


def _phase(table: dict[str, Any], base: dict[str, dict[str, Any]]) -> Phase:
    """Builds a phase from its differences from [losses] and [augmentation]."""
    merged = _weighted(table, "weights", "[[phases]]") if "weights" in table else dict(table)
    for name, kind in (("losses", Losses), ("augmentation", Augmentation)):
        if name in table:
            _check_keys(kind, table[name], f"[[phases]] {name}")
            merged[name] = _build(kind, {**base[name], **table[name]}, f"[[phases]] {name}")
    phase: Phase = _build(Phase, merged, "[[phases]]")
    return phase


def _tables(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    tables = raw.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"expected [[{name}]] tables, got {tables!r}")
    return tables


def _check_keys(kind: Any, values: dict[str, Any], where: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"expected a table {where}, got {values!r}")
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name != "text"}
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


#: The Python type of a TOML value, by the type of a setting. A float may be given as a whole number.
_IN_TOML: dict[str, Any] = {
    "int": int,
    "float": (int, float),
    "str": str,
    "bool": bool,
    "tuple[int, int]": tuple,
    "tuple[float, float]": tuple,
    "tuple[str, ...]": tuple,
}


def _check_type(f: dataclasses.Field[Any], value: Any) -> None:
    kind = str(f.type).removesuffix(" | None")
    wanted = _IN_TOML.get(kind)
    if wanted is None:
        return
    fits = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
    if not fits or (kind in ("tuple[int, int]", "tuple[float, float]") and len(value) != 2):
        words = {
            "tuple[int, int]": "two whole numbers",
            "tuple[float, float]": "two numbers",
            "tuple[str, ...]": "a list of texts",
        }
        raise ValueError(f"{f.name}: expected {words.get(kind, kind)}, got {value!r}")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
