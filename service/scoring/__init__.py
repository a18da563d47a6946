"""From a checkpoint's files to the probabilities of a pair. Knows nothing of HTTP."""

from service import usage_reporting

usage_reporting.turn_off()
