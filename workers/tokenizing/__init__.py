"""Text → token shards with a manifest: what ``scalaw tokenize`` does."""
