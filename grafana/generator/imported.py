"""Dashboard *Service* for import into any Grafana, which asks for the data sources then."""

import json
from pathlib import Path

from grafana.generator.boards import STORES

FILE = Path(__file__).resolve().parent.parent / "import" / "service.json"
_SINCE = "10.0.0"


def dashboard(shipped: str) -> str:
    """The dashboard `shipped`, as Grafana's own *Export for sharing externally* would write it."""
    board = json.loads(shipped)
    kinds = sorted({panel["type"] for panel in board["panels"]} - {"row"})
    board |= {
        "__inputs": [
            {
                "name": f"DS_{kind.upper()}",
                "label": label,
                "type": "datasource",
                "pluginId": kind,
                "pluginName": kind.capitalize(),
            }
            for kind, (_, label) in STORES.items()
        ],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _SINCE},
            *({"type": "datasource", "id": kind, "version": "1.0.0"} for kind in STORES),
            *({"type": "panel", "id": kind, "version": ""} for kind in kinds),
        ],
        "editable": True,
    }
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            chosen = f"${{DS_{variable['query'].upper()}}}"
            variable["current"] = {"text": chosen, "value": chosen}
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
