"""Turns samples into notes, without sound files, sound devices or clocks."""
