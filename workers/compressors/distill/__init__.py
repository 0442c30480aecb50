"""A smaller model, taught by the cell's own."""
