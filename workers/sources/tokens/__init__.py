"""Token shards of one's own: found, checked, mapped into memory and read window by window."""
