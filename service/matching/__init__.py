"""`index`, `match` and `dedupe`: tables of addresses against each other; above bulk."""
