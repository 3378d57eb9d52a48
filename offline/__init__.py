"""Recordings in, MIDI out."""
