"""Training data: files, labels, rendered performances, augmentation, excerpts."""
