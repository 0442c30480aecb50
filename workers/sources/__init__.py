"""Data sources: a manifest for planning (no torch) and resident or lazily decoded splits for workers."""
