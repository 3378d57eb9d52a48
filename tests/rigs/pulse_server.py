"""A PulseAudio server of one's own: what is played into its one output is heard by its one input."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..children import PATIENCE_S, start, wait_until

PROGRAMS = ("pulseaudio", "pactl", "paplay")


def has_pulse() -> bool:
    return all(map(shutil.which, PROGRAMS))


@contextmanager
def pulse_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which programs find it, until the block ends; ``folder`` is an empty one."""
    own = {"XDG_RUNTIME_DIR": str(folder), "PULSE_SERVER": f"unix:{folder}/socket"}
    environment = {**os.environ, **own}
    modules = ("module-null-sink sink_name=room", f"module-native-protocol-unix socket={folder}/socket")
    loaded = [word for module in modules for word in ("-L", module)]
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", *loaded]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = start(command, env={**environment, "HOME": str(folder)}, **quiet)
    try:
        asked = ["pactl", "info"]
        wait_until(
            lambda: not subprocess.run(asked, env=environment, **quiet).returncode,
            "PulseAudio",
            process,
        )
        yield environment
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def play(recording: Path, environment: dict[str, str]) -> None:
    """Plays a recording to its end."""
    subprocess.run(["paplay", str(recording)], env=environment, check=True)
