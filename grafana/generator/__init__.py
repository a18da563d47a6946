"""Grafana's dashboards, written in Python with the Grafana Foundation SDK and kept as JSON.

`python -m grafana.generator` writes grafana/dashboards/*.json; a test holds the two together.
"""

import warnings

# The SDK recommends its second form of dashboards, which Grafana 9 to 11 cannot read.
warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
