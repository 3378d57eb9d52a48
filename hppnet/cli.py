"""The command ``hppnet``: every module of ``hppnet.commands`` is a verb."""

from __future__ import annotations

import importlib
import io
import pkgutil
import sys

import typer

from . import commands

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
    """Run the command line. Exit codes: 0 done, 1 something failed and was named, 2 wrong use."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may not fit the terminal's encoding
    app()
