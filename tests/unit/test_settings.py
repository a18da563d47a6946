"""One table of settings: environment, flags and their errors."""

from __future__ import annotations

import argparse

import pytest

from service import settings
from service.errors import SettingsError
from service.settings import Settings


def _load(environment: dict[str, str], *flags: str) -> Settings:
    parser = argparse.ArgumentParser()
    settings.add_flags(parser)
    return settings.load(parser.parse_args(flags), environment)


def test_defaults_are_within_their_own_ranges() -> None:
    for row in settings.rows():
        assert _load({row.variable: str(row.default)}) == Settings(), row.name


def test_a_flag_wins_over_the_environment_and_both_over_the_default() -> None:
    assert _load({}).port == 5000
    assert _load({"MGEO_PORT": "5001"}).port == 5001
    assert _load({"MGEO_PORT": "5001"}, "--port", "5002").port == 5002


def test_variables_of_others_are_left_alone() -> None:
    assert _load({"OTEL_SERVICE_NAME": "x", "PATH": "y"}) == Settings()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MGEO_PROT": "1"}, "MGEO_PROT is not a setting; did you mean MGEO_PORT?"),
        ({"MGEO_XYZZY": "1"}, "MGEO_XYZZY is not a setting (docs/settings.md lists all settings)"),
        ({"MGEO_PORT": "65536"}, "MGEO_PORT='65536': must be from 0 to 65,535"),
        ({"MGEO_PORT": "-1"}, "must be from 0 to 65,535"),
        ({"MGEO_MAX_BODY_BYTES": "1"}, "must be from 1,024 to 1,073,741,824"),
        ({"MGEO_PORT": "5000.5"}, "a whole number is expected"),
        ({"MGEO_PORT": ""}, "a whole number is expected"),
        ({"MGEO_REQUEST_TIMEOUT": "nan"}, "must be from 0.01 to 3,600"),
        ({"MGEO_REQUEST_TIMEOUT": "inf"}, "must be from"),
        ({"MGEO_REQUEST_TIMEOUT": "soon"}, "a number is expected"),
        ({"MGEO_DEVICE": "tpu"}, "MGEO_DEVICE='tpu': use one of auto, cpu, cuda"),
        ({"MGEO_TRACE_URL": "http://jaeger/trace/"}, "an http(s) URL that holds `{trace_id}`"),
        ({"MGEO_TRACE_URL": "javascript:{trace_id}"}, "MGEO_TRACE_URL='javascript:{trace_id}': "),
        ({"MGEO_MODEL": " "}, "MGEO_MODEL is empty"),
        ({"MGEO_PORT": "8000"}, "MGEO_PORT and MGEO_METRICS_PORT are both 8000: each needs a port"),
        ({"MGEO_METRICS_PORT": "5000", "MGEO_HOST": "0.0.0.0"}, "are both 5000"),
        ({"MGEO_METRICS_PORT": "5000", "MGEO_METRICS_HOST": "::"}, "are both 5000"),
    ],
)
def test_what_is_unknown_or_out_of_range_is_one_line(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        _load(environment)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--max-tokens='-4': must be from 0 to 4,096$"):
        _load({}, "--max-tokens=-4")


LINKS = {
    "MGEO_SERVICE_HOST": "10.0.0.1",
    "MGEO_SERVICE_PORT": "5000",
    "MGEO_SERVICE_PORT_PREDICTIONS": "5000",
    "MGEO_PORT": "tcp://10.0.0.1:5000",
    "MGEO_PORT_5000_TCP": "tcp://10.0.0.1:5000",
    "MGEO_PORT_5000_TCP_PROTO": "tcp",
    "MGEO_PORT_5000_TCP_PORT": "5000",
    "MGEO_PORT_5000_TCP_ADDR": "10.0.0.1",
}
"""What Kubernetes sets for a service that is named `mgeo`."""


@pytest.mark.parametrize("service", ["MGEO", "MGEO_METRICS", "MGEO_INFERENCE", "MGEO_HTTP_2"])
def test_variables_of_a_kubernetes_service_are_no_settings(service: str) -> None:
    links = {name.replace("MGEO", service, 1): value for name, value in LINKS.items()}
    assert _load(links) == Settings()
    assert settings.service_links(links) == sorted(links)


def test_what_is_set_beside_them_is_a_setting() -> None:
    given = {**LINKS, "MGEO_PORT": "5001", "MGEO_METRICS_PORT": "8001"}
    assert (_load(given).port, _load(given).metrics_port) == (5001, 8001)
    assert "MGEO_PORT" not in settings.service_links(given)
    with pytest.raises(SettingsError, match="MGEO_SERVICE_HOTS is not a setting"):
        _load({**LINKS, "MGEO_SERVICE_HOTS": "x"})


def test_udp_and_several_services_at_once() -> None:
    others = {
        "MGEO_CANARY_SERVICE_HOST": "10.0.0.2",
        "MGEO_CANARY_PORT": "udp://10.0.0.2:53",
        "MGEO_CANARY_PORT_53_UDP_ADDR": "10.0.0.2",
    }
    assert _load({**LINKS, **others}) == Settings()


def test_a_link_without_its_service_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match="a whole number is expected; Docker sets such"):
        _load({"MGEO_PORT": "tcp://10.0.0.1:5000"})
    with pytest.raises(SettingsError, match="MGEO_PORT_5000_TCP is not a setting"):
        _load({"MGEO_PORT_5000_TCP": "tcp://10.0.0.1:5000"})
