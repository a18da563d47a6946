"""Cohere's own client, as its users call it, against this service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import pytest

from service.http import keys
from service.http.rerank import PATHS
from tests.conftest import Running, eventually, start
from tests.telemetry.exposition import OPENMETRICS, Exposition

QUERY = "紫萱路363号人力社保局"
TEXTS = ["栖霞区文枢东路2号", "紫萱路363号市人社局", "", "紫萱路363号"]
MODEL = "tiny"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A service that asks for a key, and the key."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    key, line = keys.make("cohere")
    file.write_text(line)
    running = start(api_keys_file=str(file))
    yield running, key
    running.service.stop()


@pytest.fixture(params=[cohere.Client, cohere.ClientV2])
def client(request: pytest.FixtureRequest, guarded: tuple[Running, str]) -> Iterator[Any]:
    """Cohere's client: the old interface, and the new one."""
    with _client(request.param, *guarded) as made:
        yield made


def _client(kind: type[Any], running: Running, key: str) -> Any:
    # Neither a proxy nor a certificate of the machine's settings: it talks to this service alone.
    http = httpx.Client(trust_env=False, timeout=60)
    return kind(key, base_url=running.predictions, httpx_client=http)


def _expected(guarded: tuple[Running, str]) -> list[tuple[int, float]]:
    running, key = guarded
    header = {"Authorization": f"Bearer {key}"}
    body = {"query": QUERY, "texts": TEXTS}
    ranks = running.post("/rerank", body, headers=header).json()
    return [(rank["index"], pytest.approx(rank["score"], abs=1e-5)) for rank in ranks]


def test_it_ranks_documents(client: Any, guarded: tuple[Running, str]) -> None:
    answer = client.rerank(model=MODEL, query=QUERY, documents=TEXTS)
    found = [(one.index, one.relevance_score) for one in answer.results]
    assert found == _expected(guarded)
    assert answer.meta.billed_units.search_units == 0


def test_it_gets_the_best_ones_alone(client: Any, guarded: tuple[Running, str]) -> None:
    answer = client.rerank(model=MODEL, query=QUERY, documents=TEXTS, top_n=2)
    assert [one.index for one in answer.results] == [index for index, _ in _expected(guarded)[:2]]


def test_the_old_one_sends_objects_and_gets_them_back(guarded: tuple[Running, str]) -> None:
    wrapped = [{"text": text} for text in TEXTS]
    with _client(cohere.Client, *guarded) as client:
        answer = client.rerank(query=QUERY, documents=wrapped, return_documents=True)
    expected = _expected(guarded)
    assert [(one.index, one.relevance_score) for one in answer.results] == expected
    assert [one.document.text for one in answer.results] == [TEXTS[index] for index, _ in expected]


def test_a_mistake_is_told_with_its_mending(client: Any) -> None:
    for asked, error, said in (
        ({"query": ""}, cohere.BadRequestError, "query is empty"),
        ({"documents": ["a" * 600]}, cohere.BadRequestError, "documents[0] has 600 characters"),
        ({"model": "rerank-v3.5"}, cohere.NotFoundError, "there is tiny "),
    ):
        with pytest.raises(error) as caught:
            client.rerank(**{"model": MODEL, "query": QUERY, "documents": TEXTS, **asked})
        assert said in caught.value.body["detail"]
        assert said in str(caught.value)


def test_what_it_could_ask_for_is_refused_by_name(guarded: tuple[Running, str]) -> None:
    for kind, field, value in (
        (cohere.Client, "rank_fields", ["text"]),
        (cohere.Client, "max_chunks_per_doc", 3),
        (cohere.ClientV2, "max_tokens_per_doc", 4096),
        (cohere.ClientV2, "relevant_spans", {"mode": "enabled"}),
    ):
        with _client(kind, *guarded) as client, pytest.raises(cohere.BadRequestError) as caught:
            client.rerank(model=MODEL, query=QUERY, documents=TEXTS, **{field: value})
        assert caught.value.body["detail"].startswith(f"{field} is not supported: ")


def test_another_key_is_not_admitted(client: Any, guarded: tuple[Running, str]) -> None:
    with (
        _client(type(client), guarded[0], "another") as stranger,
        pytest.raises(cohere.UnauthorizedError) as caught,
    ):
        stranger.rerank(model=MODEL, query=QUERY, documents=TEXTS)
    assert "not one of this service's" in caught.value.body["detail"]


def test_each_path_is_counted_by_its_own_name(client: Any, guarded: tuple[Running, str]) -> None:
    running, _ = guarded
    path = {cohere.Client: PATHS[1], cohere.ClientV2: PATHS[2]}[type(client)]

    def answered() -> float:
        page = Exposition(running.get("/metrics", headers={"Accept": OPENMETRICS}).text)
        return page.total("mgeo_request_total", endpoint=path, status="200")

    before = answered()
    client.rerank(model=MODEL, query=QUERY, documents=TEXTS)
    eventually(lambda: answered() == before + 1)
