"""One scaling law a file; the names by which people call them stand in `orchestrator.spec.registries.LAWS`."""
