"""Writes the dashboards, and what differs with VictoriaLogs: `python -m grafana.generator`."""

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator import gpu_host, imported, pipeline, service, slo, versions, victorialogs

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"
_BUILDERS = {
    "service.json": service.build,
    "gpu-host.json": gpu_host.build,
    "slo.json": slo.build,
    "pipeline.json": pipeline.build,
    "versions.json": versions.build,
}


def render() -> dict[Path, str]:
    """File → content of every dashboard, and of what differs with VictoriaLogs."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    boards = {name: encoder.encode(_numbered(build())) + "\n" for name, build in _BUILDERS.items()}
    return (
        {DASHBOARDS / name: text for name, text in boards.items()}
        | {imported.FILE: imported.dashboard(boards["service.json"])}
        | {victorialogs.FOLDER / name: t for name, t in victorialogs.dashboards(boards).items()}
        | {
            victorialogs.FOLDER / victorialogs.DATA_SOURCES.name: victorialogs.data_sources(
                victorialogs.DATA_SOURCES.read_text("utf-8")
            )
        }
    )


def _numbered(board: dashboards.Dashboard) -> model.Dashboard:
    """The dashboard with its panels numbered: links to a panel go by this number."""
    built = board.build()
    marks = built.annotations.list_val or []
    for hidden in (*(built.links or ()), *marks):
        # The SDK's own value puts it into a menu of Grafana 13.
        hidden.placement = None
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return built


def main() -> None:
    """Writes all of it."""
    for file, text in render().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file}")


if __name__ == "__main__":
    main()
