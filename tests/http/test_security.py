"""Who is let in, and what every answer says and does not say."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from service import watch
from service.http import keys
from service.http.measure import SCORING
from service.http.predict import OPEN
from tests.conftest import Running, start
from tests.http.held import PAIR, problem


class Guarded:
    """A service that requires a key, and the key."""

    def __init__(self, folder: Path) -> None:
        self.key, line = keys.make("tester")
        (folder / "keys").write_text(line)
        self.header = {"Authorization": f"Bearer {self.key}"}
        self.running = start(api_keys_file=str(folder / "keys"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("keys"))
    yield made
    made.running.service.stop()


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/nowhere"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic dTpw"])
def test_without_a_known_key_nothing_is_answered(
    guarded: Guarded, path: str, authorization: str | None
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = guarded.running.post(path, PAIR, headers=headers)
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mgeo"'
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_with_a_key_all_is_as_without_and_counted_by_its_name(guarded: Guarded) -> None:
    headers = {"Authorization": f"Bearer {guarded.key}"}
    assert guarded.running.post("/predict", PAIR, headers=headers).ok
    assert guarded.running.post("/predict", {}, headers=headers).status_code == 400
    text = guarded.running.get("/metrics").text
    for ended in ("2xx", "4xx"):
        line = f'mgeo_request_admitted_total{{key="tester",status_class="{ended}"}} 1.0'
        assert line in text
    assert guarded.key not in text


def test_keys_that_cannot_be_read_are_on_the_metrics_and_in_readyz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    made = Guarded(tmp_path)
    file, running = tmp_path / "keys", made.running

    def state() -> tuple[str, str, str]:
        page = running.get("/metrics").text
        [keys_] = re.findall(r"^mgeo_api_keys (.*)", page, re.MULTILINE)
        [age] = re.findall(r"^mgeo_api_keys_unreadable_age_seconds (.*)", page, re.MULTILINE)
        warning = running.get("/readyz").json().get("warning", "")
        return keys_, "0" if float(age) == 0 else "some", warning

    try:
        assert state() == ("1.0", "0", "")
        whole = file.read_text()
        file.write_text("nonsense")
        assert state()[:2] == ("1.0", "some")
        assert f"{file}, line 1" in state()[2]
        file.write_text("")
        assert state() == ("0.0", "0", "no API key is admitted: the file holds no key")
        assert running.post("/predict", PAIR, headers=made.header).status_code == 401
        file.write_text(whole)
        assert state() == ("1.0", "0", "")
        assert running.post("/predict", PAIR, headers=made.header).ok
    finally:
        running.service.stop()


def test_health_and_operations_need_no_key(guarded: Guarded) -> None:
    assert requests.get(guarded.running.predictions + "/healthz", timeout=60).ok
    for path in ("/healthz", "/livez", "/readyz", "/metrics"):
        assert guarded.running.get(path).ok


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
    ],
    ids=["health", "unknown", "refused", "malformed", "too large"],
)
@pytest.mark.parametrize("listener", ["predictions", "operations"])
def test_every_answer_has_the_headers_and_no_banner(
    running: Running, request_: bytes, listener: str
) -> None:
    address = urlsplit(getattr(running, listener))
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        client.sendall(request_)
        answer = client.recv(65536)
    head = answer.split(b"\r\n\r\n")[0].lower().split(b"\r\n")[1:]
    sent = dict(line.split(b": ", 1) for line in head)
    assert sent[b"x-content-type-options"] == b"nosniff"
    assert sent[b"cache-control"] == b"no-store"
    assert sent[b"content-security-policy"].startswith(b"default-src 'none'")
    assert b"server" not in sent
    assert b"via" not in sent
    assert b"waitress" not in answer.lower()


def test_a_defect_outside_of_the_application_shows_nothing_of_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(PAIR["address1"])

    monkeypatch.setattr(running.service.predictions._server, "application", fail)
    answer = running.post("/predict", PAIR)
    assert problem(answer, 500, "internal-error") == (
        "the service failed to answer; its log says why"
    )
    assert "Traceback" not in answer.text


def test_every_route_asks_for_a_key_or_is_listed_as_open(guarded: Guarded) -> None:
    asked: set[str] = set()
    rules = list(guarded.running.service.predictions.app.url_map.iter_rules())
    for rule in rules:
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        answer = requests.request(method, guarded.running.predictions + path, timeout=60)
        assert (answer.status_code == 401) == (rule.rule not in OPEN), rule.rule
        asked |= {rule.rule} if answer.status_code == 401 else set()
    assert asked >= set(SCORING)
    assert {rule.rule for rule in rules} >= OPEN
