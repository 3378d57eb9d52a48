"""Training: data, labels, augmentation, the training loop and evaluation."""
