"""Build the bundled default model from nothing: generated address pairs, a small BERT, its card."""
