"""Evaluates how well a checkpoint, or another program, transcribes recordings with labels."""
