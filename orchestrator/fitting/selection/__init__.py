"""Which runs to make next: those that tell most about a target for what they cost."""
