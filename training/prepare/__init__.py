"""From data sets as they come to what training reads: 16 kHz mono sound and note tables, one by one.

``maestro``, ``maps``, ``pairs`` and ``labelled`` find the recordings; ``convert`` makes one, ``run`` all of
them, ``report`` says what came of it. ``packed`` and ``cache`` make ready what a recipe needs.
"""
