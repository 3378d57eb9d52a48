"""Transcription of recordings to MIDI and other files."""
