"""Converts data sets to what training reads: 16 kHz mono sound and a note table for each recording.

``maestro``, ``maps``, ``pairs`` and ``labelled`` find the recordings. ``convert`` converts one recording,
``run`` converts all, and ``report`` records the results. ``packed`` and ``cache`` prepare a recipe's data.
"""
