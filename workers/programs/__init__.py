"""Stages of people's own trainers: states that are folders, one process a path, and the engine that leads them."""
