"""Grafana's dashboards, written in Python with the Grafana Foundation SDK and kept as JSON.

`python -m grafana.generator` writes grafana/dashboards/*.json; a test holds the two together.
"""
