"""Every option of every command with values that cannot be meant: one line, exit code 2, nothing begun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hppnet.cli import app

from .made_outputs import sound

#: Any value is right: a name, a text, a pattern; what is not there is an answer of the outside world.
ANY = {"--input", "--output of live", "--virtual", "--download", "--only", "--host", "--open"}
NUMBERS = ("0", "-1", "many", "1.5", "")
PLACES = ("nowhere/x", "a-folder")
#: By option, or option and command: what it must refuse.
WRONG: dict[str, tuple[str, ...]] = {
    "--checkpoint": (*PLACES, ""),
    "--device": ("abacus", ""),
    "--json": ("nowhere/x.json", "a-folder"),
    "--csv": ("nowhere/x.csv", "a-folder"),
    "--plot": ("nowhere/x.png", "a-folder"),
    "data": ("nowhere", "a-file"),
    "folder": ("nowhere", "a-file"),
    "folder of page": ("a-file",),
    "out": ("a-file", "a-file/below"),
    "recipe": ("nowhere.toml", "a-folder", "a-file", "\0"),
    "checkpoint": ("nowhere", "a-folder", ""),
    "--data": ("nowhere", "a-file"),
    "--folder": ("a-file", "a-file/below"),
    "--cache": ("a-file", "a-file/below"),
    "--set": ("nothing", "no.such=1", "schedule.steps=many"),
    "--size": ("0", "-1", "nan", "big"),
    "paths": ("nowhere.wav", "no*.wav", ""),
    "--model": ("nobody", ""),
    "--predictions": ("nowhere", "a-file"),
    "--latency": ("soon", "-1", "100", "nan", ""),
    "--latency of bench page": ("100",),
    "--output of plot-training": ("a-folder", "nowhere/x.png"),
    "--onset-threshold": ("-0.1", "1.5", "nan", "high"),
    "--frame-threshold": ("-0.1", "1.5", "nan", "high"),
    "--offset-threshold": ("-0.1", "1.5", "nan", "high"),
    "--first-seconds": ("0", "-1", "nan", "long"),
    "--note-ends": ("somewhere", ""),
    "--no-piano": ("nowhere",),
    "--noise": ("nowhere", "a-file"),
    "--snr": ("nan", "inf", "loud"),
    "--rooms": ("nowhere", "a-file"),
    "--input-channel": NUMBERS,
    "--track": NUMBERS,
    "--detune": ("nan", "inf", "flat"),
    "--gain": ("nan", "inf", "loud"),
    "--jobs": NUMBERS,
    "--starts": NUMBERS,
    "--tuning": ("nan", "inf", "1000", "high", ""),
    "--engine": ("cloud",),
    "--midi-channel": ("0", "17", "one"),
    "--midi-system": ("carrier pigeon",),
    "--velocity-curve": ("cubic", "0", "-1", "nan", "fixed:0", "fixed:128", "fixed:x"),
    "--transpose": ("1.5", "up", "1000"),
    "--record": ("nowhere/", "a-file/x.mid", "a-folder"),
    "--record-audio": ("a-file/x.flac", "a-folder"),
    "--events": ("nowhere/", "a-file/x.jsonl", "a-folder", "take.mid", ""),
    "--from-file": ("nowhere.wav", "a-folder"),
    "--output": ("a-file", "a-file/x.mid"),
    "--list": ("nowhere", "a-folder"),
    "--format": ("pdf", "mid,pdf", ",", "mid,"),
    "--batch": NUMBERS,
    "--cluster": ("local:x", "local:0", ""),
    "--shard": ("0/4", "5/4", "x", ""),
    "--manifest": ("a-folder", "a-file/x.csv"),
    "--port": ("-1", "65536", "http"),
    "--token": ("short", ""),
    "--max-streams": ("0", "-1", "many"),
    "--certificate": ("nowhere.pem", "a-folder"),
    "--key": ("nowhere.pem", "a-folder"),
    "--processes": NUMBERS,
    "--threads": NUMBERS,
    "--minutes": ("0", "-1", "nan", "long"),
    "--seconds": ("0", "-1", "nan", "long"),
    "--repeats": NUMBERS,
    "--recording": ("nowhere.wav", "a-folder"),
    "--notes": ("nowhere.mid", "a-folder"),
    "--hours": ("0", "-1", "nan", "long"),
    "--faults": ("fire",),
    "--seed": ("-1", "x"),
    "--streams": NUMBERS,
    "--config": ("nowhere", "a-folder"),
    "--sha256": ("abc",),
    "--soundfont": ("nowhere.sf2", "a-file", "=2"),
    "--room-chance": ("-1", "2", "nan"),
    "--restrike-chance": ("-1", "2", "nan"),
}
#: What a command needs beside the option.
NEEDS: dict[str, list[str]] = {
    "transcribe": ["rec"],
    "evaluate": ["rec"],
    "train": ["default"],
    "plot-training": ["a-folder"],
    "prepare maestro": ["a-folder", "out"],
    "prepare maps": ["a-folder", "out"],
    "prepare pairs": ["a-folder", "out"],
    "prepare label": ["a-folder"],
    "prepare pack": ["default", "--data", "a-folder", "--output", "out"],
    "prepare render": ["a-folder", "out", "--soundfont", "piano.sf2"],
}
#: What an option needs beside it.
WITH: dict[str, list[str]] = {
    "--snr": ["--noise", "a-folder"],
    "--latency": ["--streaming"],
    "--certificate": ["--key", "a-file"],
    "--key": ["--certificate", "a-file"],
    "--plot": ["--errors"],
}


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def name_of(parameter: Any) -> str:
    """The long option, or an argument's own name."""
    longs = [name for name in parameter.opts if name.startswith("--")]
    return longs[0] if longs else str(parameter.name)


def parameter_is_hidden(parameter: Any) -> bool:
    """An old name, whose values its new name checks."""
    return bool(getattr(parameter, "hidden", False))


def cases() -> Iterator[Any]:
    """All wrong values of an option in the first command that has it, and one in each of the others."""
    seen: set[tuple[str, ...]] = set()
    for path, command in commands():
        for parameter in command.params:
            name = name_of(parameter)
            if (
                parameter_is_hidden(parameter)
                or getattr(parameter, "is_flag", False)
                or {name, f"{name} of {path}"} & ANY
            ):
                continue
            values = WRONG.get(f"{name} of {path}", WRONG.get(name, ()))
            most = 1 if (name, *values) in seen else len(values)
            seen.add((name, *values))
            for value in values[:most]:
                yield pytest.param(
                    path, parameter.param_type_name, name, value, id=f"{path} {name} {value!r}"
                )


def test_no_option_is_forgotten() -> None:
    for path, command in commands():
        for parameter in command.params:
            name = name_of(parameter)
            flag = getattr(parameter, "is_flag", False) or not parameter.opts
            assert (
                flag or parameter_is_hidden(parameter) or {name, f"{name} of {path}"} & ANY or name in WRONG
            ), f"{path} {name}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    sound("rec/a.wav")
    for folder in ("a-folder", "a-folder.mid"):
        Path(folder).mkdir()
    for file in ("a-file", "not-weights", "piano.sf2", "settings.toml"):
        Path(file).write_text("text\n")
    return tmp_path


@pytest.mark.parametrize(("path", "kind", "name", "value"), list(cases()))
def test_wrong_values(here: Path, path: str, kind: str, name: str, value: str) -> None:
    needed = list(NEEDS.get(path, []))
    if kind == "argument":
        places = {"folder": 0, "out": 1, "data": 0, "paths": 0, "recipe": 0, "checkpoint": 0}
        needed[places[name] : places[name] + 1] = [value]
        arguments = ["--", *needed] if not any(word.startswith("-") for word in needed) else needed
    else:
        alone = name == "--latency" and path in ("live", "bench serve", "bench page")
        beside = [] if alone else WITH.get(name, [])
        arguments = [*needed, *beside, f"{name}={value}"]
    before = sorted(here.rglob("*"))
    result = CliRunner().invoke(app, [*path.split(), *arguments])
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("error: "), result.stderr
    assert re.search(r"\w+: .*\w", result.stderr)
    assert result.stdout == "" and sorted(here.rglob("*")) == before
