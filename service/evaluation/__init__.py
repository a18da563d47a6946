"""`evaluate`: how good a model is on labelled pairs of one's own."""
