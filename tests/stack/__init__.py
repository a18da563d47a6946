"""Tests on the real programs: Collector, Prometheus, Jaeger, Loki, Alertmanager, HAProxy."""
