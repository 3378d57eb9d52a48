"""``hppnet doctor``: what this machine is, whether live can run on it, and what to mend."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from .options import AsJson, Checkpoint

if TYPE_CHECKING:
    from rich.table import Table

    from ..doctor import Problem

#: Packages in the table; --json has all.
_SHOWN = (
    "hppnet",
    "python",
    "numpy",
    "torch",
    "onnxruntime",
    "soundfile",
    "soxr",
    "sounddevice",
    "python-rtmidi",
)

_PRIORITY = {
    True: "live runs before other programs",
    False: "live runs as other programs do (docs/latency.md: how to change that)",
}


def doctor(
    checkpoint: Checkpoint = None,
    as_json: AsJson = False,
) -> None:
    """Check whether live can run here, and say what to mend.

    Looks at speed, microphones, MIDI ports and versions. Takes some six seconds. Exit code: 0 live can run, 1
    it cannot. Begin a bug report with the output.
    """
    from rich.console import Console

    from ..doctor import examine_machine, find_problems

    with Console(stderr=True).status("looking at this machine") as status:
        facts = examine_machine(checkpoint, status.update)
    found = find_problems(facts)
    can_run = not any(problem.stops_live for problem in found)
    if as_json:
        import json

        print(
            json.dumps(
                {**facts, "problems": [asdict(one) for one in found], "live_can_run": can_run}, indent=2
            )
        )
    else:
        _show(facts, found, can_run)
    if not can_run:
        raise typer.Exit(1)


def _show(facts: dict[str, Any], found: list[Problem], can_run: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table(facts))
    for problem in found:  # below the table, where a terminal does not cut a line that users copy
        style = "red" if problem.stops_live else "yellow"
        console.print(problem.what, style=style, soft_wrap=True, markup=False)
        console.print(f"  -> {problem.mend}", soft_wrap=True, markup=False)
    console.print("Live can run." if can_run else "Live cannot run.", style="bold")


def _table(facts: dict[str, Any]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, said in _rows(facts):
        table.add_row(name, Text(said))
    return table


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    weights, versions = facts["weights"], facts["versions"]
    load = "" if facts["load"] is None else f", load {facts['load']:.1f}"
    systems = (", ".join(facts[key]) or "none" for key in ("sound_systems", "midi_systems"))
    return [
        ("Processor", f"{facts['processor']}, {facts['cores']} cores{load}"),
        ("Priority", _PRIORITY[facts["runs_before_others"]]),
        ("Unit", _unit(facts)),
        *((f"Step, {pace['latency_ms']} ms", _pace(pace, facts["unit_ms"])) for pace in facts["paces"]),
        ("Engine", facts.get("engine") or "none"),
        ("Weights", _weights(weights) if weights else facts["network_fault"]),
        ("Microphones", _names(facts["inputs"], facts.get("inputs_fault"))),
        ("MIDI ports", _names(facts["ports"], facts.get("ports_fault"))),
        ("Systems", "sound: {}; MIDI: {}".format(*systems)),
        ("ffmpeg", facts["ffmpeg"] or "not installed"),
        ("Extras", _extras(facts["extras"])),
        ("Versions", ", ".join(f"{name} {versions[name]}" for name in _SHOWN if name in versions)),
        ("Runs on", facts["system"]),
    ]


def _unit(facts: dict[str, Any]) -> str:
    if facts["unit_ms"] is None:
        return facts["unit_fault"]
    return f"{facts['unit_ms']:.1f} ms: product of two 1024 x 1024 float32 matrices, NumPy, one thread"


def _pace(pace: dict[str, Any], unit_ms: float | None) -> str:
    if not pace["follows"]:
        verdict = "too slow for live, where it must take less than 20 ms"
    else:
        verdict = "live follows" if pace["is_steady"] else "live follows, notes are late now and then"
    units = f" ({pace['median_ms'] / unit_ms:.2f} units)" if unit_ms else ""
    return f"median {pace['median_ms']:.1f} ms{units}, p99 {pace['p99_ms']:.1f} ms: {verdict}"


def _weights(weights: dict[str, Any]) -> str:
    licence = weights["licence"] or "licence not stated"
    return f"{weights['name']}, {weights['bytes'] / 1e6:.1f} MB; {licence}"


def _names(rows: list[dict[str, Any]], fault: str | None) -> str:
    """One name per line, with a star before the one that live would take."""
    lines = [f"{'*' if row['taken'] else ' '} {row['name']} ({row['system']})" for row in rows]
    return "\n".join(lines) or fault or "none"


def _extras(missing: dict[str, list[str]]) -> str:
    there = [extra for extra, names in missing.items() if not names]
    absent = [extra for extra, names in missing.items() if names]
    return ", ".join(there or ["none"]) + (f"; not installed: {', '.join(absent)}" if absent else "")
