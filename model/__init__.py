"""From samples to notes; no files of sound, no devices, no clocks."""
