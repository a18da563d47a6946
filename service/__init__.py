"""The MGeo inference service: two Chinese addresses in, their similarity out."""

__version__ = "0.1.0"
