"""The answer far beyond the rows: Kaplan's form over many floors, weak priors, and a way back to Chinchilla's law."""
