"""The command line ``hppnet``: every module of ``hppnet.commands`` is a command."""

from __future__ import annotations

import importlib
import io
import os
import pkgutil
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from . import commands
from .failure import printable
from .processes import keep_to_installed_modules
from .system import is_reader_gone


class Group(TyperGroup):
    """Reports wrong use of the command line in one line, like all other errors."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        standalone_mode = more.pop("standalone_mode", True)
        try:
            code = super().main(*arguments, **{**more, "standalone_mode": False})
        except Exception as error:
            if not standalone_mode or not hasattr(error, "format_message"):
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # type: ignore[attr-defined]
            else:
                _say_wrong_use(error)
            sys.exit(getattr(error, "exit_code", 2))
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def _say_wrong_use(error: Any) -> None:
    context = getattr(error, "ctx", None)
    hint = "" if context is None else f" (see {context.command_path} --help)"
    said = " ".join(error.format_message().split()).removesuffix(".").removeprefix("Invalid value: ")
    print(f"error: {printable(said)}{hint}", file=sys.stderr)


app = typer.Typer(
    name="hppnet",
    cls=Group,
    help="Listens to a piano and writes down what was played.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # typer's frames import Markdown and highlighting: help takes a third longer
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
    elif hasattr(module, name):  # else it holds what commands share
        app.command(verb)(getattr(module, name))


for _module in pkgutil.iter_modules(commands.__path__):
    _register(_module.name)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 something failed and was named, 2 wrong use, 130 Ctrl-C.

    If the reader of standard output has gone, it ends silently with 1, like click and rich.
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
    except Exception as error:
        if isinstance(error, OSError) and is_reader_gone(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discards what is still to be flushed
            sys.exit(1)
        if {"-v", "--verbose"} & set(sys.argv):
            raise
        fault = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.filename is None:
            fault = f"cannot write to standard output or a temporary folder: {error.strerror or error}"
        print(f"error: {printable(fault)}", file=sys.stderr)
        sys.exit(1)
