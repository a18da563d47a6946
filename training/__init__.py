"""Build the bundled default model from nothing: generated address pairs, a small BERT, its card."""

from service import usage_reporting

usage_reporting.turn_off()
