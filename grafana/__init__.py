"""Grafana: provisioning, dashboards, and what generates them."""
