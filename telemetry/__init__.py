"""Everything OpenTelemetry: meters, traces, logs and GPU readings.

This package never imports `service`: arrows point from the service to its telemetry.
"""
