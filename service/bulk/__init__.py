"""`python -m service score`: the pairs of a whole file, in order, interrupted or not."""
