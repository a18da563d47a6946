"""Requests in, documents out. Knows no tensor."""
