"""From a fitted law to the compute-optimal run: what a budget pays for, and where the lowest loss lies in it."""
