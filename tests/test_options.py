"""Options that several commands share, and old names that still work."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.commands.options import NoteEnds, renamed_option


def run(*arguments: str) -> Result:
    """A command with two options that have new names."""
    command = typer.Typer()

    @command.command()
    def write(
        note_ends: NoteEnds = "keys",
        _offsets: Annotated[str | None, renamed_option("--offsets", "--note-ends")] = None,
        jobs: Annotated[int, typer.Option(min=0)] = 1,
        _workers: Annotated[int | None, renamed_option("--workers", "--jobs")] = None,
    ) -> None:
        print(note_ends, jobs)

    return CliRunner().invoke(command, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "printed", "lines"),
    [
        ((), "keys 1", 0),
        (("--note-ends", "sounding", "--jobs", "3"), "sounding 3", 0),
        (("--offsets", "sounding"), "sounding 1", 1),
        (("--offsets=sounding", "--workers", "0"), "sounding 0", 2),
        (("--note-ends", "keys", "--offsets", "sounding"), "keys 1", 1),
    ],
)
def test_an_old_name_works_and_says_the_new_one(arguments, printed: str, lines: int) -> None:
    result = run(*arguments)
    assert result.exit_code == 0 and result.stdout.strip() == printed
    assert len(result.stderr.splitlines()) == lines
    if lines:
        assert "--offsets is now --note-ends" in result.stderr


def test_an_old_names_value_is_checked_as_the_new_ones() -> None:
    result = run("--workers", "-1")
    assert result.exit_code == 2 and "--jobs" in result.stderr


def test_help_shows_new_names_alone() -> None:
    help_text = CliRunner().invoke(app, ["transcribe", "--help"], terminal_width=200).stdout
    assert "--note-ends" in help_text and "--offsets" not in help_text
