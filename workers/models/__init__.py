"""The torch modules that the families build."""
