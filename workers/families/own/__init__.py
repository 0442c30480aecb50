"""Families of a person's own: ``sizes`` and ``build`` are enough, the rest is counted."""
