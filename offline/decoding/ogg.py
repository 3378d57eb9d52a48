"""Reads Ogg page by page: chained streams, truncation, damage. Source: RFC 3533, section 6."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .parts import Part, Piece, ReadReport, Window

_HEADER = struct.Struct("<4sBBqIIIB")
_BEGINS, _ENDS = 2, 4  #: flags of a stream's first and last page


@dataclass(frozen=True)
class _Page:
    begin: int
    end: int
    flags: int
    stream: int

    @property
    def begins(self) -> bool:
        return bool(self.flags & _BEGINS)


@dataclass
class _Link:
    """A link of the chain: streams that begin at the same time."""

    streams: set[int]
    ranges: list[list[int]] = field(default_factory=list)
    ended: bool = False
    pages: int = 0

    def add(self, page: _Page) -> None:
        if self.ranges and self.ranges[-1][1] == page.begin:
            self.ranges[-1][1] = page.end
        else:
            self.ranges.append([page.begin, page.end])
        self.ended = bool(page.flags & _ENDS)
        self.pages += not page.begins


def ogg_parts(file: BinaryIO, size: int, report: ReadReport) -> list[Part] | None:
    """One part for each link of the chain; None for parallel streams (video, several tracks).

    Reports truncation, and bytes that belong to no page.
    """
    links: list[_Link] = []
    at_start = False
    for page in _pages(Window(file, size), report):
        if page.begins and not at_start:
            links.append(_Link({page.stream}))
        elif page.begins:
            links[-1].streams.add(page.stream)
        at_start = page.begins
        if links and page.stream in links[-1].streams:
            links[-1].add(page)
    if any(len(link.streams) > 1 for link in links):
        return None
    if links and not links[-1].ended and not report.lost:
        report.warn("the stream has no end mark: perhaps it is cut short")
    parts = []
    for link in links:
        pieces: list[Piece] = [(begin, end) for begin, end in link.ranges]
        if link.pages:
            parts.append(Part(tuple(pieces)))
    return [Part()] if len(parts) == 1 and parts[0].pieces == ((0, size),) else parts


def _pages(window: Window, report: ReadReport) -> Iterator[_Page]:
    position = 0
    while position < window.size:
        page = _page(window, position)
        if page is None:
            found = window.find(b"OggS", position + 1)
            if found is None:
                report.lose(f"cut short or damaged: its last {window.size - position} bytes cannot be read")
                return
            report.lose(f"damaged: {found - position} bytes at byte {position} cannot be read")
            position = found
            continue
        if page.end > window.size:
            report.lose(f"cut short: at least {page.end - window.size} bytes are missing at the end")
            return
        yield page
        position = page.end


def _page(window: Window, position: int) -> _Page | None:
    """The page at a position; None without one. A truncated page ends beyond the end of the file."""
    header = window.read(position, _HEADER.size)
    if header[:4] != b"OggS":
        return None
    if len(header) < _HEADER.size:
        return _Page(position, window.size + 1, 0, 0)
    _, version, flags, _, stream, _, _, segments = _HEADER.unpack(header)
    if version:
        return None
    table = window.read(position + _HEADER.size, segments)
    missing = segments - len(table)
    end = position + _HEADER.size + segments + sum(table) + missing
    return _Page(position, end, flags, stream)
