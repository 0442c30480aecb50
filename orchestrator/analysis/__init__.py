"""From a store or a table to an answer, without Ray or torch: inputs, fits, optimum, status."""
