"""Reads blocks of samples from a sound device, with their stream times.

The sound library runs in a process of its own (``sound_child``). ``library`` replaces it, for example with
the module sounddevice. Its thread runs ``_callback``, which copies, queues, counts and never waits. Call
``open``, ``read`` and ``close`` from one thread; they may block.
"""

from __future__ import annotations

import queue
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from ..model.channels import ChannelMeter
from ..model.downmix import Downmix
from .devices import SoundInput, choose_input, list_inputs, quiet_libraries
from .inputs import LOUDEST, Block, InputFault
from .sound_process import SoundProcess
from .timeline import GapMeter, SteadyClock, SystemClock

MOST_QUEUED_S = 4.0  #: when more is queued, the callback drops blocks: nobody reads them
DEAD_AFTER_S = 2.0  #: a device that delivers nothing for this long counts as lost
SETTLE_S = 0.3  #: time in which ``settle`` measures how blocks arrive
USUAL_CHANNELS = 2  #: channels that are mixed unless one is chosen
CHUNK_S = 1.0  #: length of the chunks in which ``ChannelWatch`` measures the channels
#: Seconds of playing, silence not counted, before the first check of the channels and each later one.
FIRST_S, LATER_S = 5.0, 30.0


@dataclass(frozen=True)
class _Raw:
    """A block as the callback queues it."""

    samples: np.ndarray  # [n, channels]
    first: int  # index of its first sample since the device was opened, dropped samples included
    arrived_s: float
    lossy: bool  # the device reported lost samples


class AudioInput:
    """A sound device, chosen by index, name or part of a name; None: the default device.

    ``channel`` counts from 1; None mixes the first two (see ``model.downmix``). ``sample_rate`` None uses
    the device's own. ``open`` raises InputFault if the device is missing, ``read`` if it has gone. ``open``
    then finds it again by its name, and stream time continues by the clock.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        channel: int | None = None,
        sample_rate: int | None = None,
        clock: SteadyClock | None = None,
        library: Any = None,
    ) -> None:
        if channel is not None and channel < 1:
            raise ValueError(f"channels count from 1, got {channel}")
        self.name = "no input" if device is None else str(device)
        self.sample_rate = sample_rate or 48_000
        self.block_s = 0.0
        self.dropped_blocks = 0
        self._wanted: int | str | None = device
        self._channel, self._wanted_rate = channel, sample_rate
        self._clock = clock or SystemClock()
        self._library = library
        self._stream: Any = None
        self._end_s = 0.0  # stream time of the next sample
        self._usual_s: float | None = None  # clock minus stream time before the input was lost
        self._gaps = GapMeter()
        self._opened = False  # tried to open
        self._watch: ChannelWatch | None = None

    def __enter__(self) -> AudioInput:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Starts to receive sound. Raises InputFault."""
        if self._stream is not None:
            return
        first, self._opened = not self._opened, True
        if self._library is None:
            self._library = SoundProcess()
        library = self._library
        chosen = self._choose(library, refresh=not first)
        self._begin(chosen)
        try:
            with self._quiet():
                self._stream = library.InputStream(
                    device=chosen.index,
                    channels=self._channels,
                    samplerate=self.sample_rate,
                    blocksize=0,  # the device's own block size: any other adds a buffer
                    latency="low",
                    dtype="float32",
                    callback=self._callback,
                )
                self._stream.start()
        except (library.PortAudioError, ValueError, OSError) as error:
            self.close()
            raise InputFault(f"{chosen} cannot be opened: {_first_line(error)}") from None
        self._wanted = str(chosen)  # indices shift when devices come and go, names do not

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if isinstance(self._library, SoundProcess):
            self._library.close()
        if stream is None:
            return
        with suppress(Exception), self._quiet():  # the device may be gone; then nothing is left to close
            stream.abort()
            stream.close()

    def read(self, timeout_s: float) -> list[Block]:
        """Returns all queued blocks; empty if none arrives within ``timeout_s``. Raises InputFault."""
        stream = self._stream
        if stream is None:
            raise InputFault(f"{self.name} is not open")
        raws = self._fetch(timeout_s)
        if raws:
            self._received_s = self._clock.now()
        elif not stream.active:
            raise InputFault(f"{self.name} has stopped")
        elif self._clock.now() - self._received_s > DEAD_AFTER_S:
            raise InputFault(f"{self.name} has delivered no sound for {DEAD_AFTER_S:g} s")
        return [self._block(raw) for raw in raws]

    def settle(self) -> None:
        """Measures ``block_s`` for ``SETTLE_S``. Blocks that arrive meanwhile stay queued."""
        until_s = self._clock.now() + SETTLE_S
        while self._clock.now() < until_s and self._stream is not None and self._stream.active:
            self._clock.sleep(0.02)
        raws = self._fetch(0.0)
        for raw in raws:
            self._queue.put(raw)
        if raws:
            delays = [raw.arrived_s - (raw.first + len(raw.samples)) / self.sample_rate for raw in raws]
            # The upper quartile, since a few of the first blocks may be late on any device.
            spread = float(np.percentile(delays, 75)) - min(delays)
            self.block_s = max(len(raw.samples) for raw in raws) / self.sample_rate + spread

    def _choose(self, library: Any, refresh: bool) -> SoundInput:
        with self._quiet():
            inputs = list_inputs(library, refresh)
        chosen = choose_input(self._wanted, inputs)
        if self._channel is not None and self._channel > chosen.channels:
            raise InputFault(f"{chosen} has {chosen.channels} channels, channel {self._channel} is not there")
        return chosen

    def _quiet(self) -> AbstractContextManager[None]:
        # A process of its own prints nothing here, and while it starts, other threads' lines would be lost.
        return nullcontext() if isinstance(self._library, SoundProcess) else quiet_libraries()

    def _begin(self, chosen: SoundInput) -> None:
        self.name = str(chosen)
        self.sample_rate = self._wanted_rate or chosen.sample_rate
        self._channels = self._channel or min(USUAL_CHANNELS, chosen.channels)
        # Unbounded, so that put never waits. The callback limits its length.
        self._queue: queue.SimpleQueue[_Raw] = queue.SimpleQueue()
        self._mix = Downmix(self._channels, self.sample_rate)
        if self._watch is None or not self._watch.done:
            self._watch = ChannelWatch(self._mix, self.sample_rate)
        self._came = self._fetched = 0  # samples received by the callback, and samples read
        if self._gaps.usual_s is not None:  # else nothing came since it was opened last
            self._usual_s = self._gaps.usual_s
        self._gaps = GapMeter()
        self._first = True
        self._counted = 0  # expected ``first`` of the next block
        self._start_s = self._end_s
        self._lost = 0
        self._received_s = self._clock.now()

    def _callback(self, data: np.ndarray, frames: int, times: Any, status: Any) -> None:
        arrived_s = getattr(times, "arrived_s", None) or self._clock.now()
        first, self._came = self._came, self._came + frames
        if first - self._fetched > MOST_QUEUED_S * self.sample_rate:
            self.dropped_blocks += 1
            return
        self._queue.put(_Raw(data.copy(), first, arrived_s, bool(status.input_overflow)))

    def _fetch(self, timeout_s: float) -> list[_Raw]:
        raws = []
        try:
            raws.append(self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait())
            while True:
                raws.append(self._queue.get_nowait())
        except queue.Empty:
            return raws

    def _block(self, raw: _Raw) -> Block:
        count, rate = len(raw.samples), self.sample_rate
        if self._first:
            self._first = False
            self._resume(raw)
        lost = raw.first - self._counted  # dropped by the callback
        end_s = self._start_s + (raw.first + self._lost + count) / rate
        by_device = round(self._gaps.note(end_s, raw.arrived_s, raw.lossy) * rate)
        self._lost += by_device
        self._counted = self._fetched = raw.first + count
        time_s = self._start_s + (raw.first + self._lost) / rate
        self._end_s = time_s + count / rate
        samples, warnings = self._mixed(raw.samples)
        return Block(samples, time_s, lost + by_device, rate, raw.arrived_s, warnings)

    def _resume(self, raw: _Raw) -> None:
        """Continues stream time by the clock after an interruption."""
        if self._usual_s is not None:
            began_s = raw.arrived_s - self._usual_s - (raw.first + len(raw.samples)) / self.sample_rate
            self._start_s = max(self._end_s, began_s)

    def _mixed(self, samples: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns one channel [n] from the device's [n, channels], and warnings about the channels."""
        if self._channel is not None:
            return np.ascontiguousarray(samples[:, self._channel - 1], dtype=np.float32), ()
        assert self._watch is not None
        return self._mix.feed(samples), self._watch.add(samples)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class ChannelWatch:
    """Reports once if channels of a device are silent, noisy or cancel each other.

    It only measures; the mix is not changed.
    """

    def __init__(self, mix: Downmix, sample_rate: int) -> None:
        self.done = mix.channels < 2  #: nothing more will be reported
        self._mix, self._rate = mix, sample_rate
        self._meter = ChannelMeter(mix.channels, sample_rate)
        self._due_s = FIRST_S
        self._waiting: list[np.ndarray] = []
        self._count = 0  # samples in ``_waiting``

    def add(self, samples: np.ndarray) -> tuple[str, ...]:
        """Takes samples [n, channels] already fed to the mix; returns a line for each faulty channel."""
        if self.done:
            return ()
        self._waiting.append(samples)
        self._count += len(samples)
        if self._count < CHUNK_S * self._rate:
            return ()
        chunk = np.nan_to_num(np.concatenate(self._waiting))
        self._waiting.clear()
        self._count = 0
        self._meter.add(np.clip(chunk, -LOUDEST, LOUDEST))
        return self._findings() if self._mix.signal_s >= self._due_s else ()

    def _findings(self) -> tuple[str, ...]:
        lines = self._meter.remarks([n for n, sign in enumerate(self._mix.signs) if sign < 0])
        self.done = bool(lines)
        self._meter = ChannelMeter(self._mix.channels, self._rate)
        self._due_s = self._mix.signal_s + LATER_S
        return tuple(lines)
