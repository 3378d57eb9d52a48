"""Labels, augmentation, the loop and the scores."""
