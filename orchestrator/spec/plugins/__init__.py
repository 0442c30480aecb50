"""People's own code: read from a file by consent, never named by a YAML (I8)."""
