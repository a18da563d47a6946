"""Everything that extends waitress, and nothing else: docs/listener.md says why for each part."""
