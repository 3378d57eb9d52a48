"""Folders that others write to, too: their modules, and what was compiled for their machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hppnet.training.kernels import compiled

from .made_outputs import sound

#: Modules that the command needs, and whose names a recording's folder may well hold.
MODULES = [
    "numpy",
    "torch",
    "soundfile",
    "csv",
    "queue",
    "random",
    "struct",
    "secrets",
    "tokenize",
    "colorsys",
    "model",
]


@pytest.mark.slow
def test_modules_in_the_working_folder_are_not_imported(tmp_path: Path, small: Path) -> None:
    """Neither by the command nor by its workers."""
    for number in range(2):
        sound(str(tmp_path / "rec" / f"{number}.wav"), number)
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(
            f"open('{tmp_path}/ran-{name}', 'w'); raise SystemExit('not me')\n"
        )
    arguments = ["transcribe", "rec", "--jobs", "2", "--plot", "--checkpoint", str(small)]
    done = subprocess.run(
        [sys.executable, "-m", "hppnet", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert not list(tmp_path.glob("ran-*")), done.stderr
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("rec/*.mid"))) == 2


_AS_BEFORE_3_11 = """
import subprocess
from multiprocessing.connection import Connection
from hppnet import processes

processes.SAFE_PATH = False
if __name__ == "__main__":
    worker = processes.start(Connection.send_bytes, b"a worker")
    print(worker.pipe.recv_bytes())
    processes.end([worker], 10)
    for arguments in (("-c", "import queue, sys; print(sys.argv)", "code"), ("-m", "queue_user", "module")):
        print(subprocess.run(processes.python(*arguments), capture_output=True, text=True, check=True).stdout)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the resource tracker is Unix's")
def test_a_python_without_a_safe_path_leaves_the_working_folder_out_too(tmp_path: Path) -> None:
    """Python 3.10's children: workers, multiprocessing's resource tracker, and what ``python`` starts."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir(), elsewhere.mkdir()
    for name in (*MODULES, "signal", "threading", "tempfile", "pickle", "selectors"):
        (here / f"{name}.py").write_text(f"open('{tmp_path}/ran-{name}', 'w'); raise SystemExit('not me')\n")
    (elsewhere / "script.py").write_text(_AS_BEFORE_3_11)
    (elsewhere / "queue_user.py").write_text("import queue, sys; print(sys.argv[1:], __name__)\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(elsewhere)
    script = [sys.executable, str(elsewhere / "script.py")]
    done = subprocess.run(script, cwd=here, env=environment, capture_output=True, text=True)
    assert not list(tmp_path.glob("ran-*")) and done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["b'a worker'", "['-c', 'code']", "", "['module'] __main__", ""]


def test_compiled_kernels_are_kept_for_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled with -march=native for another machine of the same home folder is not loaded."""
    from torch.utils import cpp_extension

    from hppnet.training import kernels

    names: list[str] = []
    monkeypatch.setattr(cpp_extension, "load", lambda name, *_, **__: names.append(name))
    own = kernels.processor()
    assert (
        own
        and own == kernels.processor()
        and ("flags" in own or "Features" in own or sys.platform != "linux")
    )
    for said in (own, own, own.replace("flags", "flags avx9")):
        monkeypatch.setattr(kernels, "processor", lambda said=said: said)
        compiled.__wrapped__()
    assert names[0] == names[1] and names[0] != names[2]
