"""From one address to the entries of a register that may be the same place."""
