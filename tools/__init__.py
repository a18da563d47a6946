"""Pinned builds of the observability stack's programs, and a launcher that runs them."""
