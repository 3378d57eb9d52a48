"""How well a checkpoint, or another program, transcribes recordings whose notes are known."""
