"""Sweeps as jobs of a Ray cluster elsewhere: what is sent, what runs there, what can be asked and told later."""
