"""People's own trainers as processes: the manifest, one process a task, and what is taken of its answers."""
