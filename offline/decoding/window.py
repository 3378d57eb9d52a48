"""Bytes of a file by their position, a mebibyte in memory at a time."""

from __future__ import annotations

from typing import BinaryIO

_KEPT = 1 << 20


class Window:
    """For a walk through a file from its beginning to its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._begin, self._bytes = 0, b""

    def read(self, position: int, count: int) -> bytes:
        """Fewer at the end of the file."""
        inside = position - self._begin
        if inside < 0 or inside + count > len(self._bytes):
            self._file.seek(position)
            self._begin, self._bytes, inside = position, self._file.read(max(_KEPT, count)), 0
        return self._bytes[inside : inside + count]

    def find(self, wanted: bytes, position: int, end: int | None = None) -> int | None:
        """The first place from ``position`` on, before ``end``, where ``wanted`` stands."""
        end = self.size if end is None else min(end, self.size)
        while position < end:
            data = self.read(position, min(_KEPT // 2, end - position + len(wanted) - 1))
            at = data.find(wanted)
            if at >= 0:
                return position + at if position + at < end else None
            if len(data) < len(wanted):
                return None
            position += len(data) - len(wanted) + 1
        return None
