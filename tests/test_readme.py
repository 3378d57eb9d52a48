"""What the README says can be done is done here: its commands and its Python, as they stand there."""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app

from .sounds import three_notes

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def transcribe_lines() -> list[str]:
    lines = [line.split("#")[0].strip() for block in fenced("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("hppnet transcribe")]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The files that the commands name."""
    for folder in ("recordings", "archive"):
        (tmp_path / folder).mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("take.wav", "one.flac", "recordings/two.flac", "old.mp3"):
        soundfile.write(tmp_path / name, three_notes(44_100), 44_100)
    for number in range(20):
        soundfile.write(tmp_path / "archive" / f"{number}.wav", three_notes(44_100)[:22_050], 44_100)
    with zipfile.ZipFile(tmp_path / "recordings.zip", "w") as archive:
        archive.write(tmp_path / "one.flac", "one.flac")
    return tmp_path


def test_there_are_commands_to_try() -> None:
    assert len(transcribe_lines()) >= 5 and len(live_lines()) == 3 and len(fenced("python")) == 1


def live_lines() -> list[str]:
    """Those that need neither a microphone nor a MIDI port."""
    lines = [line.split("#")[0].strip() for block in fenced("sh") for line in block.splitlines()]
    return [line for line in lines if "--from-file" in line or line == "hppnet devices"]


@pytest.mark.parametrize("line", live_lines())
def test_live_commands_run(workplace: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(workplace)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("line", transcribe_lines())
def test_commands_run(workplace: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    words = shlex.split(line)[1:]
    words = [str(p) for w in words for p in (sorted(workplace.glob(w)) if "*" in w else [w])]
    monkeypatch.chdir(workplace)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert list(workplace.rglob("*.mid"))


def test_python_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(workplace)
    blocks = np.array_split(three_notes(48_000), 50)
    (code,) = fenced("python")
    exec(compile(code, "README.md", "exec"), {"blocks": blocks})
    printed = capsys.readouterr().out
    assert "NoteOn" in printed and "0.132" in printed
    assert (workplace / "take.mid").exists()


@pytest.mark.parametrize(
    "page", ["README.md", "examples/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    for target, place in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
        titles = re.findall(
            r"^#+ (.*)$", (ROOT / page).parent.joinpath(target or page).read_text(), re.MULTILINE
        )
        assert place in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], place


def test_the_documents_name_options_that_there_are() -> None:
    """Those of the verb that a line begins with."""
    checked = 0
    for page in (ROOT / "docs").glob("*.md"):
        for line in re.findall(
            r"hppnet (?:transcribe|live|evaluate|serve|train|doctor|devices)\b[^`\n#]*", page.read_text()
        ):
            help_text = CliRunner().invoke(app, [line.split()[1], "--help"], env={"COLUMNS": "200"}).output
            for option in re.findall(r"--[a-z-]+", line):
                assert option in help_text, line
                checked += 1
    assert checked > 10
