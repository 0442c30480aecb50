"""Ways to make a trained model smaller, one file each; no torch at import, as planning asks them whether they fit."""
