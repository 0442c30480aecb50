"""Ray: the cluster, the pool of workers and the driver that leads a plan to its rows."""
