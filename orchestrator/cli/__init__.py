"""The command line: verbs only; each file parses its flags, calls one function and prints its answer."""
