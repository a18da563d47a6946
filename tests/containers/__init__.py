"""The image and the compose file, in containers. Skipped where none can be run, with the reason."""
