"""Model families: what to build at size N, with closed-form parameter counts and FLOPs; no torch at import."""
