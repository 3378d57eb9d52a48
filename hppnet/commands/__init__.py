"""The commands, one module each.

``hppnet.cli`` finds them by their names. A module ``some_command`` has either a function ``some_command``,
whose docstring and annotations become the command's help and options, or a typer app ``app`` for a command
with subcommands. A module with neither holds what commands share. At the top, a module imports light
modules only; functions import the rest, so that ``hppnet --help`` stays quick.
"""
