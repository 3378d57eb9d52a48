"""What some tests need from the machine: ``@needs("ffmpeg")``.

Where it is missing they are skipped, and the reason names what to install; with CI=true they fail.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hppnet.training.kernels import compiled

from .rigs import jack_server

#: The smallest first.
SOUND_FONTS = sorted(Path("/usr/share/sounds").glob("sf*/*.sf[23]"), key=lambda path: path.stat().st_size)
RUNTIME = Path(__file__).parents[1] / "realtime" / "web" / "runtime"  #: onnxruntime-web, as make page puts it
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def needs(*things: str) -> pytest.MarkDecorator:
    """The mark of tests that need all of these."""
    unknown = set(things) - set(MISSING)
    assert not unknown, f"expected some of {', '.join(MISSING)}, got {unknown}"
    return pytest.mark.needs(*things)


def require(*things: str) -> None:
    """In a test or a fixture: skips it where one of these is missing; fails it where all tests must run."""
    for thing in things:
        if (why := MISSING[thing]()) is not None:
            go_without(why)


def go_without(why: str) -> NoReturn:
    """Skips a test or, while they are collected, a file of them; fails where all must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"these tests must run here, but {why}", pytrace=False)
    pytest.skip(why, allow_module_level=True)


def module(name: str, extra: str) -> Any:
    """A module that comes with an extra of the package, at the top of a file of tests."""
    try:
        return importlib.import_module(name)
    except ImportError:
        go_without(f"needs {name}: pip install 'hppnet[{extra}]'")


def _program(name: str, package: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed: apt-get install {package}"


def _fluidsynth() -> str | None:
    if shutil.which("fluidsynth") and SOUND_FONTS:
        return None
    return "needs FluidSynth and a sound font: apt-get install fluidsynth timgm6mb-soundfont"


def _chromium() -> str | None:
    if importlib.util.find_spec("playwright") is None:
        return "needs playwright: pip install 'hppnet[dev]'"
    return None if CHROMIUM else "needs Chromium: apt-get install chromium"


def _page_runtime() -> str | None:
    return None if RUNTIME.is_dir() else "onnxruntime-web is not there: make page (it needs npm)"


def _compiler() -> str | None:
    return None if compiled() is not None else "needs a C++ compiler and ninja: apt-get install g++"


#: What tests may need -> why it is missing here, or None.
MISSING: dict[str, Callable[[], str | None]] = {
    "ffmpeg": _program("ffmpeg", "ffmpeg"),
    "fluidsynth": _fluidsynth,
    "jack": jack_server.missing,
    "chromium": _chromium,
    "compiler": _compiler,
    "node": _program("node", "nodejs"),
    "page runtime": _page_runtime,
}
