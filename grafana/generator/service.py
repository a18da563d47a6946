"""Dashboard *Service*: is it well, and if not, where does it hurt?"""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator import engine, overview, traffic
from grafana.generator.boards import dashboard
from grafana.generator.panels import log_lines, traces

_LINE = (
    "{{ if .status }}{{ .status }} {{ .method }} {{ .endpoint }} {{ .duration_ms }} ms"
    "{{ else }}{{ __line__ }}{{ end }}"
)
_OURS = '{service_name=~"$service", service_instance_id=~"$instance"}'

ALL_LINES = f"{_OURS} | line_format `{_LINE}`"
BAD_LINES = f'{_OURS} | severity_text != "INFO" | line_format `{_LINE}`'
"""LogQL of the two panels: a request's line says what became of it, any other one its own text."""


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-service",
        "MGeo / Service",
        "Is the address-matching service well? First what is wrong now; below, by route and "
        "version, stage, queue and batch, where it is.",
        single=True,
    )
    overview.add(board)
    traffic.add(board)
    engine.add(board)
    _evidence(board)
    engine.gpu(board)
    return board


def _evidence(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Single requests"))
    board.with_panel(
        traces(
            "Slow traces",
            "Half a second or longer, the newest first. Click one to see its stages, the batch it "
            "was in, and the device.",
            minDuration="500ms",
        )
    )
    board.with_panel(traces("Failed traces", "With an error, the newest first.", tags="error=true"))
    board.with_panel(
        log_lines(
            "Recent log lines",
            "One for each sampled request. Open a line and follow its trace id to its trace.",
            ALL_LINES,
        )
    )
    board.with_panel(
        log_lines(
            "Warnings and errors",
            "Lines that are not informational, each failed request's among them.",
            BAD_LINES,
        )
    )
