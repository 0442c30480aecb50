"""The default answer: one prediction and one interval, whatever axes the rows have."""
