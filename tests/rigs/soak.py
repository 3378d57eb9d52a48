"""Live for a day, and a thousand faults, faster than real time: does anything grow, hang or break?

    python -m tests.rigs.soak [--hours 24] [--faults 1000] [--recording FILE] [--seed 1] [--checkpoint FILE]
                              [--json FILE]

A day of simulated playing takes about an hour. One fault in fifty is a signal to ``hppnet live`` in a process
of its own. Exit code: 0 all well, 1 something was wrong and is named.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from hppnet.api import load, read_blocks
from hppnet.model.device import one_thread
from hppnet.realtime.bench import RATE
from hppnet.realtime.bench_notes import make_test_piece

from .soak_session import play_day, play_faults
from .soak_signals import send_signals

FAULTS_PER_SIGNAL = 50


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """All figures, ready for JSON. Raises AudioError, CheckpointError and OSError."""
    model, music = load(options.checkpoint, "cpu"), sound_of(options.recording)
    one_thread()
    figures: dict[str, Any] = {}
    if options.hours:
        figures["day"] = play_day(model, music, RATE, options.hours, options.seed, _report).as_dict()
    signals = options.faults // FAULTS_PER_SIGNAL
    if options.faults - signals:
        count = options.faults - signals
        figures["faults"] = play_faults(model, music, RATE, count, options.seed, _report).as_dict()
    if signals:
        more = ["--checkpoint", str(options.checkpoint)] if options.checkpoint else []
        figures["signals"] = send_signals(signals, music, RATE, more, options.seed, _report)
    return figures


def sound_of(recording: Path | None) -> np.ndarray:
    """Samples [n] at RATE of a recording, or of a minute of the test piece. Raises AudioError."""
    if recording is None:
        return make_test_piece(60, RATE)[0]
    blocks, sample_rate = read_blocks(recording)
    sound: np.ndarray = soxr.resample(np.concatenate(list(blocks)), sample_rate, RATE)
    return sound


def soak_lines(figures: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(what was seen, what is wrong), a line each."""
    lines: list[str] = []
    wrong: list[str] = []
    for part in ("day", "faults"):
        if part in figures:
            lines += _part_lines(figures[part])
            wrong += figures[part]["wrong"]
    if "signals" in figures:
        wrong += [f"{name}: {line}" for name, found in figures["signals"].items() for line in found]
        lines.append(f"signals: {', '.join(figures['signals'])}, each several times")
    return lines, wrong


def _part_lines(figures: dict[str, Any]) -> list[str]:
    memory = figures["memory_mib"]
    faults = sum(figures["faults"].values())
    held = f"{memory[0]:.0f} MiB at first, {memory[-1]:.0f} MiB at last, " if memory else ""
    return [
        f"{figures['simulated_h']:.2f} hours{f' with {faults} faults' if faults else ''} "
        f"in {figures['wall_s'] / 60:.1f} minutes: {figures['notes']} notes",
        f"  memory: {held}grown by {figures['memory_growth_mib']:.1f} MiB after warm-up",
        f"  notes stuck: {figures['stuck_notes']}; played while down: {figures['overlaps']}",
        f"  pedal: {figures['presses']} presses, stuck {figures['stuck_pedals']} times",
        f"  events waiting: {figures['most_waiting_events']} at most, "
        f"{figures['most_waiting_events_at_end']} in the last tenth",
        f"  sound waiting: {figures['most_backlog_ms']:.0f} ms at most; "
        f"clock off by {figures['most_clock_error_ms']:.1f} ms at most",
    ]


def _report(stage: str) -> None:
    print(stage, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hours", type=float, default=24, help="of simulated playing")
    parser.add_argument("--faults", type=int, default=1000, help="at random; one in fifty is a signal")
    parser.add_argument("--recording", type=Path, help="to play in a loop instead of the test piece")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--checkpoint", type=Path, help="other weights than those that come with hppnet")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options = parser.parse_args(arguments)
    figures = soak(options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    lines, wrong = soak_lines(figures)
    print("\n".join(lines))
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
