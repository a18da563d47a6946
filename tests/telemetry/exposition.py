"""What a scraper makes of `/metrics`, by prometheus_client's own parsers."""

from __future__ import annotations

from collections import Counter

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain
from prometheus_client.samples import Sample

from telemetry.setup import Telemetry

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PLAIN = "text/plain;version=0.0.4"


class Exposition:
    """All families and samples of one scrape. Refuses what the parser refuses."""

    def __init__(self, text: bytes | str, *, openmetrics: bool = True) -> None:
        self.text = text if isinstance(text, str) else text.decode()
        parse = parse_openmetrics if openmetrics else parse_plain
        self.families: dict[str, Metric] = {}
        for family in parse(self.text):
            assert family.name not in self.families, f"{family.name} comes twice"
            self.families[family.name] = family

    @property
    def samples(self) -> list[Sample]:
        return [sample for family in self.families.values() for sample in family.samples]

    def get(self, name: str, **labels: str) -> Sample | None:
        """The sample of that name and exactly those labels."""
        found = [s for s in self.samples if s.name == name and s.labels == labels]
        assert len(found) <= 1, found
        return found[0] if found else None

    def value(self, name: str, **labels: str) -> float:
        """Its value; fails if there is none."""
        sample = self.get(name, **labels)
        assert sample is not None, f"{name}{labels} is not in\n{self.text}"
        return sample.value

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of that name that have these labels, and perhaps others."""
        return sum(
            s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()
        )

    def repeated(self) -> list[tuple[str, ...]]:
        """Series that come more than once."""
        seen = Counter(
            (s.name, *sorted(f"{k}={v}" for k, v in s.labels.items())) for s in self.samples
        )
        return [series for series, times in seen.items() if times > 1]

    def exemplars(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.exemplar]


def scrape(telemetry: Telemetry) -> Exposition:
    """One scrape of telemetry that no listener serves."""
    return Exposition(telemetry.prometheus.render(OPENMETRICS)[0])
