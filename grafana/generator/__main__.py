"""Writes every dashboard as JSON: `python -m grafana.generator [FOLDER]`."""

import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator import gpu_host, pipeline, service, slo, versions

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"
_BUILDERS = {
    "service.json": service.build,
    "gpu-host.json": gpu_host.build,
    "slo.json": slo.build,
    "pipeline.json": pipeline.build,
    "versions.json": versions.build,
}


def render() -> dict[str, str]:
    """File name → JSON of every dashboard."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {name: encoder.encode(_numbered(build())) + "\n" for name, build in _BUILDERS.items()}


def _numbered(board: dashboards.Dashboard) -> model.Dashboard:
    """The dashboard with its panels numbered: links to a panel go by this number."""
    built = board.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return built


def main(folder: Path = DASHBOARDS) -> None:
    """Writes the dashboards to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
