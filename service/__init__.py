"""The MGeo inference service: two Chinese addresses in, their similarity out."""

from service.version import __version__ as __version__
