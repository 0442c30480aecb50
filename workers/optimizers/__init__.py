"""Optimisers by name, one file each; built from a recipe and a family's parameter groups."""
