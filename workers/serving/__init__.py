"""A finished model as it is written, loaded and run outside of training."""
