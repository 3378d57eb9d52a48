"""The command ``hppnet``: every module of ``hppnet.commands`` is a verb."""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys

import typer

from . import commands
from .failure import printable
from .processes import keep_to_installed_modules

app = typer.Typer(
    name="hppnet",
    help="Listens to a piano and writes down what was played.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hppnet {version('hppnet')}")
        raise typer.Exit()


@app.callback()
def _hppnet(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Say the version and leave."
    ),
) -> None:
    """Piano transcription: a recording or a microphone in, MIDI out."""


def _register(name: str) -> None:
    module = importlib.import_module(f"{commands.__name__}.{name}")
    verb = name.replace("_", "-")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=verb)
    elif hasattr(module, name):  # else it holds what verbs share
        app.command(verb)(getattr(module, name))


for _module in pkgutil.iter_modules(commands.__path__):
    _register(_module.name)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 something failed and was named, 2 wrong use.

    130 after Ctrl-C, 141 where whoever reads the output does so no longer.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not fit the terminal's encoding
    keep_to_installed_modules()
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # click has met a pipe that nobody reads
            _leave_quietly()
        raise
    except BrokenPipeError:
        _leave_quietly()
    except Exception as error:
        if {"-v", "--verbose"} & set(sys.argv):
            raise
        fault = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.filename is None:
            fault = f"cannot write to standard output or a temporary folder: {error.strerror or error}"
        print(f"error: {printable(fault)}", file=sys.stderr)
        sys.exit(1)


def _leave_quietly() -> None:
    """As a program that SIGPIPE ends; what is still to be flushed goes nowhere."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(141)
