"""The release, in one place: the distributions, the command and telemetry all take it from here."""

__version__ = "0.1.0"
