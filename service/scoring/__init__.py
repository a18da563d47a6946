"""From a checkpoint's files to the probabilities of a pair. Knows nothing of HTTP."""
