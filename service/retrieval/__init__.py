"""Retrieval: for one address, find the register entries that may be the same place."""
