"""Tests on the real programs: Collector, Prometheus, Jaeger, a log store, Alertmanager, HAProxy."""
