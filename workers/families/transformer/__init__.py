"""Decoder-only transformers: what is planned, the module, and how it is trained."""
