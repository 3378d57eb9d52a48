"""Prepares a recipe's data, before and during training: decodes recordings, renders performances."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import soundfile
from lightning.fabric import Fabric
from rich.console import Console

from ...model.timebase import SAMPLE_RATE
from ...processes import cores, end, interrupts_held_back, start
from ..data.dataset import open_recording
from ..data.performances import read_performance
from ..data.rendering import Rendered
from ..data.rendering_cache import Renderings, make
from ..data.run_files import RunFiles, find_run_files
from ..data.sources import cache_of, gather, most_steps
from ..logs import check_tables, progress_bar
from ..loop import check_batches
from ..run import check_saved
from ..settings import TrainingSettings
from .run import in_processes

DECODED_PER_S = 150.0  #: seconds of sound decoded per second and core, at least
RENDERED_PER_S = 20.0  #: seconds of sound rendered per second and core, at least
BYTES_PER_S = 2 * SAMPLE_RATE  #: bytes per second of sound in the cache
WORTH_A_LINE_S = 10.0  #: work that takes longer is announced
SAMPLED = 6  #: performances read to estimate the length of all by file size

Report = Callable[[int, int], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Estimate:
    """Seconds of sound still to be decoded and rendered for a recipe."""

    decode_s: float
    first_s: float  #: sound to render before the next step
    later_s: float  #: sound to render during training

    @property
    def bytes(self) -> float:
        return (self.decode_s + self.first_s + self.later_s) * BYTES_PER_S

    def lines(self, cache: Path, jobs: int) -> list[str]:
        """Lines that announce the work; none if it takes less than WORTH_A_LINE_S."""
        before_s = (self.decode_s / DECODED_PER_S + self.first_s / RENDERED_PER_S) / jobs
        later_s = self.later_s / RENDERED_PER_S
        if before_s + later_s < WORTH_A_LINE_S:
            return []
        hours = (
            f"{self.decode_s / 3600:.1f} h of recordings to decode and {self.first_s / 3600:.1f} h of "
            f"performances to render first (about {_minutes(before_s)})"
        )
        said = [f"{hours}, {self.bytes / 1e9:.1f} GB of disk in {cache}"]
        if self.later_s:
            said.append(
                f"{self.later_s / 3600:.1f} h of performances to render while training "
                f"(about {_minutes(later_s)} of one core, in the background)"
            )
        return said

    def check_disk(self, cache: Path) -> None:
        """Raises ValueError if the disk has too little space."""
        place = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
        free = shutil.disk_usage(place).free
        if self.bytes > free:
            raise ValueError(
                f"{cache}: expected {self.bytes / 1e9:.1f} GB free for decoded and rendered sound, "
                f"there are {free / 1e9:.1f}; choose another disk with --cache"
            )


def _minutes(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{max(1, round(seconds / 60))} min"


def make_ready(fabric: Fabric, settings: TrainingSettings) -> None:
    """Decodes and renders what the next step needs. Raises ValueError for what would stop the training."""
    check_batches(settings, fabric)
    if fabric.is_global_zero:
        cache, jobs = Path(settings.cache), cores()
        console = Console(stderr=True)
        with console.status("looking at the data"):
            files = find_run_files(settings)
            saved = check_saved(settings, files.digests)
            check_tables(Path(settings.folder))
            step = saved["step"] if saved else 0
            found = estimate(settings, files, step)
        found.check_disk(cache)
        for line in found.lines(cache, jobs):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        with progress_bar("decoding") as report:
            decode(settings, files, jobs, report)
        with progress_bar("rendering") as report:
            render_due(settings, files, step, jobs, report)
    gather(settings)


def estimate(settings: TrainingSettings, files: RunFiles, step: int = 0) -> Estimate:
    """Estimates the sound still to be decoded, and to be rendered for the steps from ``step`` on."""
    infos = [soundfile.info(sound) for sound, _, cache in _to_decode(settings, files)]
    decode_s = sum(info.frames / info.samplerate for info in infos)
    first_s = later_s = 0.0
    for one in files.trained:
        if isinstance(one, Renderings):
            left = [(due, rendered.midi) for due, rendered, _ in upcoming([one], settings)]
            s_per_byte = _s_per_byte([path for _, path in left])
            first_s += s_per_byte * _bytes([path for due, path in left if due <= step])
            later_s += s_per_byte * _bytes([path for due, path in left if due > step])
    return Estimate(decode_s, first_s, later_s)


def _to_decode(settings: TrainingSettings, files: RunFiles) -> list[tuple[Path, Path, Path]]:
    """Recordings that are not in the cache yet, each with its labels and its cache folder."""
    found = [(s, t) for s, t in zip(settings.sources, files.trained, strict=True) if isinstance(t, list)]
    work: dict[Path, tuple[Path, Path, Path]] = {}
    for source, pairs in [*found, *files.kept]:
        if not pairs:
            continue
        cache = cache_of(settings.path(source.folder), Path(settings.cache))
        work |= {sound: (sound, labels, cache) for sound, labels in pairs}
    return [one for one in work.values() if not (one[2] / f"{one[0].stem}.npy").exists()]


def _s_per_byte(performances: list[Path]) -> float:
    """Estimates seconds per byte from a few performances: reading all of them would take a minute."""
    some = performances[:: max(1, len(performances) // SAMPLED)]
    return sum(read_performance(path).length for path in some) / max(1, _bytes(some))


def _bytes(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def decode(
    settings: TrainingSettings, files: RunFiles, jobs: int, report: Report = lambda done, total: None
) -> None:
    """Decodes every recording into the cache, in ``jobs`` processes. Raises ValueError for a broken one."""
    _all(partial(_attempt, _decode), _to_decode(settings, files), jobs, report)


def render_due(
    settings: TrainingSettings,
    files: RunFiles,
    step: int,
    jobs: int,
    report: Report = lambda done, total: None,
) -> None:
    """Renders what is due by ``step``, in ``jobs`` processes: much, if a run resumes on a fresh machine."""
    every = [one for one in files.trained if isinstance(one, Renderings)]
    work = [(rendered, ends) for due, rendered, ends in upcoming(every, settings) if due <= step]
    if work and shutil.which("fluidsynth") is None:
        raise ValueError("this recipe renders performances: apt-get install fluidsynth")
    _all(partial(_attempt, _render), work, jobs, report)


def _decode(item: tuple[Path, Path, Path]) -> None:
    open_recording(*item)


def _render(item: tuple[Rendered, str]) -> None:
    make(*item)


def _attempt(work: Callable[[Item], None], item: Item) -> str:
    """Works on an item; returns its error in one line, or ""."""
    try:
        work(item)
    except Exception as error:  # _all raises it in the calling process
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _all(work: Callable[[Item], str], items: Sequence[Item], jobs: int, report: Report) -> None:
    outcomes: Iterator[str]
    if min(jobs, len(items)) <= 1:
        outcomes = map(work, items)
    else:
        outcomes = in_processes(work, items, jobs, lambda item, why: why)
    for done, failed in enumerate(outcomes):
        if failed:
            raise ValueError(failed)
        report(done + 1, len(items))


@contextmanager
def rendering_ahead(settings: TrainingSettings) -> Iterator[None]:
    """Runs a process of low priority that renders performances in the order that steps need them."""
    work = upcoming(gather(settings).renderings, settings)
    if not work:
        yield
        return
    worker = start(_render_on, work)
    try:
        yield
    finally:
        with interrupts_held_back():
            end([worker], 5.0)


def upcoming(every: list[Renderings], settings: TrainingSettings) -> list[tuple[int, Rendered, str]]:
    """The performances that a run needs and the cache lacks, sorted by the first step that needs them.

    Returns (first step, performance, note ends) for each.
    """
    steps = most_steps(settings)
    due = [(step, n, r, one.note_ends) for one in every for n, (step, r) in enumerate(one.due(steps))]
    first_validation = settings.validate_every or settings.schedule.steps
    due += [(first_validation, 0, r, one.note_ends) for one in every for r in one.held]
    due.sort(key=lambda item: item[:2])
    return [(step, r, ends) for step, _, r, ends in due if not r.folder.exists()]


def _render_on(pipe: Connection, work: list[tuple[int, Rendered, str]]) -> None:
    """The worker process: ends with its work or with the training process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # raises: FluidSynth ends and its files go
    parent = os.getppid()
    os.nice(19)
    for _, rendered, note_ends in work:
        if os.getppid() != parent:
            return  # the training process was killed
        try:
            make(rendered, note_ends)
        except Exception:
            # The training reports the same error when it needs this performance.
            time.sleep(1)
