"""The exceptions of this package, in a module of their own that all others can import."""

from __future__ import annotations


class UsageError(ValueError):
    """Arguments are invalid, for example a missing path or two recordings for one output file."""


class AudioError(Exception):
    """A recording cannot be used. The message is one line: file, what was expected and found, what to do."""


class MissingExtra(ValueError):
    """A required package is not installed. The message is one line: what needs it, how to install it."""


class LoadError(RuntimeError):
    """The checkpoint or the device cannot be used, so no recording can be transcribed."""
