"""Who runs the work: the protocol of a pool, its two implementations, and how large it should be."""
