"""Microphone in, MIDI out."""
