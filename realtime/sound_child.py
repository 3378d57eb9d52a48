"""Runs the sound library in a process of its own: ``python -m hppnet.realtime.sound_child``.

A driver that hangs or crashes when its device is unplugged takes its process down, and only a new process
finds the device again (PortAudio hangs for ever when a JACK server dies). This process is then replaced.
Also, none of the session's Python code delays PortAudio's callback here.

The process writes the devices as a line of JSON, reads from standard input which one to open, answers, and
then writes blocks until standard input ends, as it does when the parent has gone. PortAudio's thread runs
``Blocks.callback``, which never waits; the main thread writes and may block.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any, BinaryIO

from ..system import ENDING_SIGNALS, before_parent
from .devices import sound_library
from .inputs import InputFault

#: Frames, channels, arrival time by the clock (s), whether the device lost something.
HEADER = struct.Struct("<IId?")
MOST_QUEUED = 2000  #: blocks; a parent that is stopped must not fill the memory


class Blocks:
    """Passes blocks from the callback to the pipe."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lossy = False

    def callback(self, data: Any, frames: int, times: Any, status: Any) -> None:
        """Queues samples ``data`` [frames, channels], float32."""
        arrived_s = time.perf_counter()
        self._lossy |= bool(status.input_overflow)
        if self._queue.qsize() >= MOST_QUEUED:
            self._lossy = True
            return
        self._queue.put(HEADER.pack(frames, data.shape[1], arrived_s, self._lossy) + data.tobytes())
        self._lossy = False

    def write(self, out: BinaryIO, stream: Any) -> None:
        """Writes blocks until the stream stops. Raises BrokenPipeError when nobody reads."""
        while True:
            try:
                out.write(self._queue.get(timeout=0.2))
                out.flush()
            except queue.Empty:
                if not stream.active:
                    return


def main() -> None:
    for name in ENDING_SIGNALS:  # the parent decides when this process ends
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    before_parent()  # kept waiting by the network with Python's lock in hand, it would hold up the callback
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not mix with the blocks
    with suppress(BrokenPipeError):
        _serve(out)
    os._exit(0)  # a normal exit may hang in PortAudio


def _serve(out: BinaryIO) -> None:
    try:
        library = sound_library()
        _write(out, _devices(library))
    except InputFault as fault:
        _write(out, {"fault": str(fault)})
        return
    request = sys.stdin.buffer.readline()
    if not request:
        return
    blocks = Blocks()
    try:
        stream = library.InputStream(**json.loads(request), callback=blocks.callback)
        stream.start()
    except (library.PortAudioError, ValueError, OSError) as error:
        _write(out, {"fault": str(error)})
        return
    _write(out, {"opened": True})
    threading.Thread(target=_end_with_parent, args=(stream,), daemon=True).start()
    blocks.write(out, stream)


def _devices(library: Any) -> dict[str, Any]:
    return {
        "devices": [dict(device) for device in library.query_devices()],
        "systems": [{**system, "devices": list(system["devices"])} for system in library.query_hostapis()],
        "default": int(library.default.device[0]),
    }


def _end_with_parent(stream: Any) -> None:
    sys.stdin.buffer.read()
    with suppress(Exception):
        stream.abort()
    os._exit(0)


def _write(out: BinaryIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main()
