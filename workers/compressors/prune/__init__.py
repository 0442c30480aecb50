"""Weights set to zero, or whole units taken out."""
