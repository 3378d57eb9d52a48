"""What ``hppnet bench live`` and ``bench soak`` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def live_machine(detail: dict[str, Any]) -> str:
    machine = detail["machine"]
    used = f"{detail['threads']} of {machine['cores']} cores"
    where = used if machine["device"] == "cpu" else machine["device"]
    lines = [
        f"{machine['cpu']}, {where}, {machine['engine']}, {machine['checkpoint']}",
        f"end to end through {detail['way']}, {detail['seconds']:g} s of sound",
    ]
    if detail["why_not_jack"]:
        lines.append(f"not over JACK: {detail['why_not_jack']}")
    return "\n".join(lines)


def live_figures(figures: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    detail = figures["detail"]
    algorithmic, impulse = figures["algorithmic_latency_ms"], detail["impulse_latency_ms"]
    compute, whole = figures["compute_ms"], figures["end_to_end_ms"]
    usual, unit = detail["default"], detail["unit_ms"]
    f1 = f"{usual['f1_live']:.1f} live, {usual['f1_streaming']:.1f} by transcribe --streaming"
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    for what, figure, bar, remark in (
        (
            "algorithmic latency, smallest",
            f"{algorithmic['smallest']:.1f} ms",
            "<= 60",
            _struck(impulse["smallest"]),
        ),
        ("  default", f"{algorithmic['default']:.1f} ms", "<= 140", _struck(impulse["default"])),
        ("computing 20 ms of sound", f"{compute['median']:.1f} ms", "", "median"),
        ("", f"{compute['p99']:.1f} ms", "<= 10", "99 in 100 take no longer"),
        ("", f"{compute['median'] / unit:.3f} units", "", f"median; a unit takes {unit:.1f} ms"),
        ("", f"{compute['p99'] / unit:.3f} units", "", "99 in 100"),
        ("onset to note-on, default", f"{whole['median']:.0f} ms", "<= 180", "median"),
        ("", f"{whole['p99']:.0f} ms", "<= 230", "99 in 100"),
        ("  smallest", f"{whole['smallest_median']:.0f} ms", "<= 100", "median"),
        ("jitter", f"{figures['jitter_ms']:.1f} ms", "<= 8", "standard deviation of arrival less onset"),
        ("F1 lost on the way", f"{figures['f1_gap']:.2f}", "<= 0.5", f1),
        ("listening after", f"{figures['startup_s']:.1f} s", "<= 4", "from the start of Python"),
    ):
        table.add_row(what, figure, bar, remark)
    return table


def _struck(measured_ms: float | None) -> str:
    return "one stroke was not heard" if measured_ms is None else f"one stroke measures {measured_ms:.0f} ms"


def soak_lines(figures: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(what was seen, what is wrong), a line each."""
    lines: list[str] = []
    wrong: list[str] = []
    for part in ("day", "faults"):
        if part in figures:
            lines += _soaked(figures[part])
            wrong += figures[part]["wrong"]
    if "signals" in figures:
        wrong += [f"{name}: {line}" for name, found in figures["signals"].items() for line in found]
        lines.append(f"signals: {', '.join(figures['signals'])}, each several times")
    return lines, wrong


def _soaked(figures: dict[str, Any]) -> list[str]:
    memory = figures["memory_mib"]
    faults = sum(figures["faults"].values())
    held = f"{memory[0]:.0f} MiB at first, {memory[-1]:.0f} MiB at last, " if memory else ""
    return [
        f"{figures['simulated_h']:.2f} hours{f' with {faults} faults' if faults else ''} "
        f"in {figures['wall_s'] / 60:.1f} minutes: {figures['notes']} notes",
        f"  memory: {held}grown by {figures['memory_growth_mib']:.1f} MiB after warm-up",
        f"  notes stuck: {figures['stuck_notes']}; struck while down: {figures['overlaps']}",
        f"  pedal: {figures['presses']} presses, stuck {figures['stuck_pedals']} times",
        f"  events waiting: {figures['most_waiting_events']} at most, "
        f"{figures['most_waiting_events_at_end']} in the last tenth",
        f"  sound waiting: {figures['most_backlog_ms']:.0f} ms at most; "
        f"clock off by {figures['most_clock_error_ms']:.1f} ms at most",
    ]
