"""What a run is trained on: files, labels, rendered performances, augmentation, excerpts."""
