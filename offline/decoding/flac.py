"""FLAC: its number of samples, and files that were joined. Source: RFC 9639, section 8.2."""

from __future__ import annotations

from typing import BinaryIO

from .parts import Part, Report
from .window import Window

_START = b"fLaC"
_UNKNOWN = 2**36 - 1  #: all bits of the field; 0 is what the format provides for it


def flac_parts(file: BinaryIO, size: int, report: Report) -> list[Part]:
    """A part for each file that was joined to this one. Their lengths are left to the decoder to find.

    Reports a length that was never written. One that is too large shows when the decoder has come to the end.
    """
    window = Window(file, size)
    begins = list(_begins(window))
    parts = []
    for begin, end in zip(begins, [*begins[1:], size], strict=True):
        header = bytearray(window.read(begin, 26))
        stated = int.from_bytes(header[21:26], "big") & _UNKNOWN
        unknown = stated in (0, _UNKNOWN)
        if unknown:
            report.warn("its header does not say how long it is: read to the end of the file")
        elif len(begins) == 1:
            return [Part()]
        # Total samples 0: the decoder reads to the end, whatever the header says.
        header[21] &= 0xF0
        header[22:26] = bytes(4)
        parts.append(Part((bytes(header), (begin + 26, end)), None if unknown else stated))
    return parts


def _begins(window: Window) -> list[int]:
    """Where a stream's marker stands before a block of stream information (type 0, 34 bytes)."""
    found = []
    at = window.find(_START, 0)
    while at is not None:
        block = window.read(at + 4, 4)
        if block[:1] in (b"\x00", b"\x80") and block[1:] == b"\x00\x00\x22":
            found.append(at)
        at = window.find(_START, at + 4)
    return found
