"""From data sets as they come to what training reads: 16 kHz mono sound and note tables, piece by piece.

``maestro``, ``maps``, ``pairs``, ``rendered`` and ``labelled`` find the sources; ``piece`` makes one, ``run``
all of them, ``report`` says what came of it.
"""
