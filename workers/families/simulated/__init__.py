"""Models that train nothing: what is planned, the law that their rows obey, and its engine."""
