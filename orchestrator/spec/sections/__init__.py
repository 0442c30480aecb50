"""The sections of a sweep: one class a key of the YAML."""
