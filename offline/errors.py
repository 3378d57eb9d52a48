"""The errors of this folder, apart so that every file can raise them."""

from __future__ import annotations


class UsageError(ValueError):
    """Arguments that cannot be meant: no such path, two recordings for one output file."""


class AudioError(Exception):
    """A recording that cannot be used. One line: the file, what was expected, what came, what to do."""


class MissingExtra(ValueError):
    """A package that is not installed is needed. One line: for what, and how to install it."""


class LoadError(RuntimeError):
    """The checkpoint or the device cannot be used: no recording could be transcribed."""
