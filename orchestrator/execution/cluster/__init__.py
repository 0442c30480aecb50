"""The Ray cluster: starting or joining one, whether it is there, what it needs of a machine, what it is told."""
