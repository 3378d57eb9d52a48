"""The tables that ``hppnet evaluate`` prints, and the line below them."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from .mistakes import Mistakes
from .playing import PHRASES
from .runs import EvaluationRun, Interval
from .scores import PRF, Scores

_WIDTH = 130  #: width of the tables if the output is no terminal
_WIDE = 100  #: smallest width at which all columns fit

_COLUMNS = {  # heading -> field of Scores
    "onset\n10 ms": "onset_10ms",
    "\n20 ms": "onset_20ms",
    "\n30 ms": "onset_30ms",
    "\n50 ms": "onset_50ms",
    "with\noffset": "onset_offset",
    "and\nveloc.": "onset_offset_velocity",
    "\nframe": "frame",
}
_MORE_COLUMNS = ("50 ms\nP", "\nR", "veloc.\nerror", "twice\n%")
_NUMBERS_WIDTH = 71  #: width of these columns together


def print_tables(runs: Sequence[EvaluationRun], about: dict[str, Any], several: bool) -> None:
    """Prints several runs with one row each, or one run by file with its other tables; then the caption."""
    screen = Console()
    if not screen.is_terminal:
        screen = Console(width=_WIDTH)
    if about["soundfont"] is not None:
        screen.print(_playing_table(runs))
    elif several:
        screen.print(_runs_table(runs, screen.width))
        screen.print(_programs_table(about["programs"]))
    for run in [] if several else runs:
        if run.mean is not None:
            screen.print(_run_table(run, screen.width))
        if run.pedals:
            screen.print(_pedal_table(run))
        if run.quiet:
            screen.print(_quiet_table(run))
        if run.mistakes is not None:
            screen.print(_mistakes_table(run.mistakes))
    if runs:
        screen.print(caption(about), style="dim", highlight=False)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0)


def _add_numbers(table: Table, headings: Sequence[str], min_width: int = 5) -> None:
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=min_width)


def _run_table(run: EvaluationRun, width: int) -> Table:
    """F1 by file and in the mean; precision and recall of the onsets at 50 ms. Fits 80 characters."""
    assert run.mean is not None
    table = _table(f"{run.name}: F1 in percent{_speed(run)}")
    room = max(9, width - _NUMBERS_WIDTH)
    table.add_column("\nfile", no_wrap=True, max_width=room)
    _add_numbers(table, [*_COLUMNS, *_MORE_COLUMNS])
    for name, scores in zip(_short(list(run.files), room), run.files.values(), strict=True):
        table.add_row(name, *_cells(scores))
    table.add_section()
    table.add_row(f"mean of {len(run.files)}", *_cells(run.mean), style="bold")
    intervals = [run.intervals[field] for field in _COLUMNS.values()]
    if any(intervals):
        table.add_row("95 % from", *(_bound(interval, 0) for interval in intervals))
        table.add_row("to", *(_bound(interval, 1) for interval in intervals))
    return table


def _speed(run: EvaluationRun) -> str:
    parts = [] if run.x_realtime is None else [f"{run.x_realtime:.1f} × real time"]
    if run.peak_mib is not None:
        parts.append(f"{run.peak_mib:.0f} MiB")
    return "".join(f", {part}" for part in parts)


def _bound(interval: Interval | None, side: int) -> str:
    return "-" if interval is None else f"{interval[side]:.1f}"


def _runs_table(runs: Sequence[EvaluationRun], width: int) -> Table:
    """The means of several runs, one row each."""
    table = _table("F1 in percent, mean over files")
    table.add_column("\nmodel", no_wrap=True)
    wide = width >= _WIDE
    columns = {h: f for h, f in _COLUMNS.items() if wide or f not in ("onset_10ms", "onset_30ms")}
    _add_numbers(table, list(columns))
    _add_numbers(table, ["95 % of\n50 ms"], 9)
    more = ["veloc.\nerror", "twice\n%", "× real\ntime", "\nMiB"]
    quiet = any(run.quiet for run in runs)
    _add_numbers(table, [*more, "false\n/min"] if quiet else more)
    for run in runs:
        false = "-" if run.false_per_minute is None else f"{run.false_per_minute:.1f}"
        table.add_row(run.name, *_run_cells(run, list(columns.values())), *([false] if quiet else []))
    return table


def _run_cells(run: EvaluationRun, fields: Sequence[str]) -> list[str]:
    average, interval = run.mean, run.intervals["onset_50ms"] if run.mean else None
    return [
        *("-" if average is None else _cell(getattr(average, field)) for field in fields),
        "-" if interval is None else f"{interval[0]:.1f}-{interval[1]:.1f}",
        "-" if average is None or average.velocity_mae is None else f"{average.velocity_mae:.1f}",
        "-" if average is None else f"{average.doubled_percent:.2f}",
        "-" if run.x_realtime is None else f"{run.x_realtime:.1f}",
        "-" if run.peak_mib is None else f"{run.peak_mib:.0f}",
    ]


def _programs_table(programs: dict[str, dict[str, Any]]) -> Table:
    """Download size and licences of each program."""
    table = _table("to download, and on which terms")
    table.add_column("", no_wrap=True)
    _add_numbers(table, ["MB"])
    table.add_column("code")
    table.add_column("weights")
    for name, about in programs.items():
        table.add_row(
            *(name, f"{about['download_mb']:.1f}", f" {about['code_licence']} ", about["weights_licence"])
        )
    return table


def _playing_table(runs: Sequence[EvaluationRun]) -> Table:
    """Recall and precision of the phrases' onsets at 50 ms, in the order in which they are played."""
    table = _table("onsets within 50 ms: recall and precision in percent")
    table.add_column("\nphrase", no_wrap=True)
    _add_numbers(table, [part for run in runs for part in (f"{run.name}\nR", "\nP")], 6)
    for name in PHRASES:
        scores = [run.files[name].onset_50ms if name in run.files else None for run in runs]
        cells = [("-", "-") if one is None else (f"{one.r:.1f}", f"{one.p:.1f}") for one in scores]
        table.add_row(name, *(cell for pair in cells for cell in pair))
    return table


def _quiet_table(run: EvaluationRun) -> Table:
    """False notes a minute on recordings without piano."""
    table = _table("without piano: false notes a minute")
    table.add_column("file", no_wrap=True)
    _add_numbers(table, ["", "notes"])
    for name, false in run.quiet.items():
        table.add_row(name, f"{false:.1f}", str(run.false_notes[name]))
    table.add_section()
    notes = sum(run.false_notes.values())
    table.add_row("in all", f"{run.false_per_minute:.1f}", str(notes), style="bold")
    table.add_row(f"with a note, of {len(run.false_notes)}", "", str(run.with_false_notes), style="bold")
    return table


_PEDAL_ROWS = {  # field of PedalScores -> name of its row
    "frame": "pedal down, by frame",
    "down": "pedal goes down, within 200 ms",
    "up": "pedal comes up, within 200 ms",
    "sounding": "notes with sounding ends",
    "keys": "the same by key releases alone",
}


def _pedal_table(run: EvaluationRun) -> Table:
    """The sustain pedal, and notes up to where they stop sounding."""
    table = _table(f"{run.name}: the pedal, mean of {len(run.pedals)}")
    table.add_column("", no_wrap=True)
    _add_numbers(table, ["P", "R", "F1"])
    for field, name in _PEDAL_ROWS.items():
        score = getattr(run.pedal, field)
        cells = ["-"] * 3 if score is None else [f"{value:.1f}" for value in (score.p, score.r, score.f1)]
        table.add_row(name, *cells)
    return table


def _mistakes_table(mistakes: Mistakes) -> Table:
    """For each group of notes, how many are missed and invented."""
    table = _table("which notes are missed and invented")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    _add_numbers(table, ["played", "missed", "%", "transcribed", "invented", "%"])
    for way, groups in _by_octave(mistakes.as_dict()).items():
        named = False
        for name, counts in groups.items():
            if counts["played"] or counts["transcribed"]:
                table.add_row("" if named else way, f" {name} ", *_group_cells(counts))
                named = True
        table.add_section()
    return table


def _by_octave(ways: dict[str, dict[str, dict[str, int]]]) -> dict[str, dict[str, dict[str, int]]]:
    """Adds up the groups of the keys in each octave."""
    octaves: dict[str, dict[str, int]] = {}
    for key, counts in ways["key"].items():
        number = int(key) // 12 - 1
        octave = octaves.setdefault(f"C{number}-B{number}", dict.fromkeys(counts, 0))
        for name, count in counts.items():
            octave[name] += count
    return {**ways, "key": octaves}


def _group_cells(counts: dict[str, int]) -> list[str]:
    missed = f"{100 * counts['missed'] / counts['played']:.1f}" if counts["played"] else "-"
    invented = f"{100 * counts['invented'] / counts['transcribed']:.1f}" if counts["transcribed"] else "-"
    return [
        *(str(counts[name]) for name in ("played", "missed")),
        missed,
        *(str(counts[name]) for name in ("transcribed", "invented")),
        invented,
    ]


def _short(names: list[str], room: int) -> list[str]:
    """Names without their common beginning and end, if they are too long."""
    if len(names) < 2 or max(map(len, names)) <= room:
        return names
    begin = len(commonprefix(names))  # noqa: RUF071 - letters are meant, not folders
    end = len(commonprefix([name[begin:][::-1] for name in names]))  # noqa: RUF071
    return [name[begin : len(name) - end] for name in names]


def _cells(scores: Scores) -> list[str]:
    onset = scores.onset_50ms
    return [
        *(_cell(getattr(scores, field)) for field in _COLUMNS.values()),
        "-" if onset is None else f"{onset.p:.1f}",
        "-" if onset is None else f"{onset.r:.1f}",
        "-" if scores.velocity_mae is None else f"{scores.velocity_mae:.1f}",
        f"{scores.doubled_percent:.2f}",
    ]


def _cell(score: PRF | None) -> str:
    return "-" if score is None else f"{score.f1:.1f}"


def caption(settings: dict[str, Any]) -> str:
    """The settings that the figures depend on, in one line."""
    parts = []
    if settings["soundfont"] is not None:
        parts.append(f"played by {settings['soundfont']}")
    if "checkpoint" in settings:
        latency = settings["latency_ms"]
        streamed = f"streaming, {latency:.0f} ms" if isinstance(latency, float) else "all latencies"
        parts += [
            settings["checkpoint"],
            *([] if settings["soundfont"] else ["full context" if latency is None else streamed]),
            "thresholds " + ", ".join(f"{name} {value:g}" for name, value in settings["thresholds"].items()),
            f"note ends: {settings['note_ends']}",
        ]
    if settings["labels_note_ends"] not in (None, settings.get("note_ends")):
        parts.append(f"note ends of the labels: {settings['labels_note_ends']}")
    if settings["first_seconds"] is not None:
        parts.append(f"first {settings['first_seconds']:g} s of each file")
    return ", ".join(parts + _conditions(settings["conditions"]))


def _conditions(conditions: dict[str, Any]) -> list[str]:
    parts = []
    if conditions["detune_cents"]:
        parts.append(f"{conditions['detune_cents']:+g} cents")
    if conditions["rooms"]:
        parts.append(f"in {conditions['rooms']}")
    if conditions["noise"]:
        parts.append(f"{conditions['snr_db']:g} dB above {conditions['noise']}")
    if conditions["gain_db"]:
        parts.append(f"{conditions['gain_db']:+g} dB")
    return parts
