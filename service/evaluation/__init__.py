"""The command `evaluate`: measure a model on your own labelled pairs."""
