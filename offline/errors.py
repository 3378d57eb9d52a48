"""The error of this folder, apart so that every reader can raise it."""

from __future__ import annotations


class AudioError(Exception):
    """A recording that cannot be used. One line: the file, what was expected, what came, what to do."""
