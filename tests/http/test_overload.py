"""More work than the model can do: refused at once, with the reason and a time to come back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from service.http.request_context import HEADER
from service.scoring.job import Job
from service.scoring.scorer import _TRIED
from tests.conftest import eventually
from tests.http.held import PAIR, Held, problem
from tests.waiting import Stopwatch


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    made = Held(max_queue_pairs=10, max_queue_tokens=1000)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def idle(request: pytest.FixtureRequest, held: Held) -> Iterator[None]:
    yield
    held.gate.set()
    name = "mgeo_requests_inprogress"
    eventually(lambda: held.metrics(name).value(name) == 0)


def test_a_full_queue_refuses_with_a_time_to_come_back(held: Held) -> None:
    held.busy()
    waiting = held.batch(10)
    held.waiting(10)
    refused = held.send().result()
    assert "the limit is 10 pairs and 1000 tokens" in problem(refused, 429, "queue-full")
    assert int(refused.headers["Retry-After"]) >= 1
    held.gate.set()
    assert waiting.result().ok
    assert held.send().result().ok
    assert held.metrics().value("mgeo_request_problem_total", problem="queue-full") == 1


def test_what_a_full_queue_refuses_takes_no_thread_and_leaves_its_connection_open(
    held: Held,
) -> None:
    held.busy()
    held.batch(10)
    held.waiting(10)
    refusals = {"endpoint": "/predict", "method": "POST", "status": "429"}
    before = held.metrics().value("mgeo_request_total", **refusals)
    with requests.Session() as session:
        answers = [
            session.post(held.running.predictions + "/predict", json=PAIR, timeout=60)
            for _ in range(3)
        ]
        path = "/v2/models/tiny/infer"
        assert session.post(held.running.predictions + path, json={}, timeout=60).status_code == 429
        of_model = {**refusals, "endpoint": "/v2/models/<name>/infer"}
        eventually(lambda: held.metrics().value("mgeo_request_total", **of_model) == 1)
        # What reaches a thread is traced.
        assert all("traceparent" not in answer.headers for answer in answers)
        assert [problem(answer, 429, "queue-full") != "" for answer in answers] == [True] * 3
        # Nor is it read, but what needs no place in the queue is answered as ever.
        assert session.get(held.running.predictions + "/healthz", timeout=60).ok
        held.gate.set()
        held.waiting(0)
        eventually(
            lambda: session.post(held.running.predictions + "/predict", json=PAIR, timeout=60).ok
        )
        assert len(session.adapters["http://"].poolmanager.pools) == 1
    assert held.metrics().value("mgeo_request_total", **refusals) >= before + 3


def _fill_after_a_known_answer(held: Held) -> None:
    """Have one pair answered from the cache, and then one computed and one waiting without end."""
    assert [held.send(body=PAIR).result().status_code for _ in range(2)] == [200, 200]
    held.gate.clear()
    held.send(body={**PAIR, "address2": "紫萱路"})
    eventually(lambda: len(held.computed) == 2)
    held.send(body={**PAIR, "address2": "市人社局"})
    held.waiting(1)


def test_a_full_queue_refuses_nobody_whose_answer_is_known() -> None:
    held = Held(max_queue_pairs=1, cache_pairs=10)
    try:
        _fill_after_a_known_answer(held)
        unknown = {**PAIR, "address2": "人社局"}
        problem(held.send(body=unknown).result(), 429, "queue-full")
        assert held.send(body=PAIR).result().ok
    finally:
        held.stop()


def test_where_no_answer_was_known_lately_one_request_in_many_is_looked_at() -> None:
    """Until one is known again, answers that are known are refused too: looking costs a thread."""
    held = Held(max_queue_pairs=1, cache_pairs=10)
    try:
        _fill_after_a_known_answer(held)
        held.service.predictions._server.hook._scorer._known_ns -= 11_000_000_000
        found = [held.send(body=PAIR).result().status_code for _ in range(_TRIED + 5)]
        assert found == [429] * (_TRIED - 1) + [200] * 6
    finally:
        held.stop()


def test_a_batch_without_a_pair_to_score_is_no_sign_that_answers_are_known() -> None:
    held = Held(max_queue_pairs=1, cache_pairs=10)
    try:
        assert held.send("/predict/batch", {"pairs": [{}]}).result().status_code == 200
        held.busy()
        held.send(body={**PAIR, "address2": "紫萱路"})
        held.waiting(1)
        unread = {**PAIR, "address2": "市人社局"}
        answer = held.send(body=unread).result()
        problem(answer, 429, "queue-full")
        assert "traceparent" not in answer.headers, "it took no thread"
    finally:
        held.stop()


def test_a_request_that_never_fits_is_too_large(held: Held) -> None:
    answer = held.batch(11).result()
    assert "10 pairs" in problem(answer, 413, "too-large")
    assert "Retry-After" not in answer.headers


def test_a_deadline_that_passes_in_the_queue_is_an_answer_in_time_and_no_work(held: Held) -> None:
    # What other tests held was slow: by that, it could not be answered in time.
    for _ in range(200):
        held.running.queue.computed(tokens=held.tokens(PAIR), seconds=0.001)
    held.busy()
    before = len(held.computed)
    dropped = held.metrics().value("mgeo_queue_dropped_total")
    began = time.monotonic()
    with Stopwatch() as watch:
        late = held.send(**{HEADER: "900"}).result()
    detail = problem(late, 504, "timed-out")
    assert detail.startswith(f"no result within 900 ms ({HEADER}); allow more time")
    assert time.monotonic() - began > 0.8
    assert watch.seconds < 10
    held.gate.set()
    assert held.send().result().ok
    assert len(held.computed) == before + 1  # the last one's
    assert held.metrics().value("mgeo_queue_dropped_total") == dropped + 1


def test_a_deadline_that_cannot_be_met_is_refused_at_once(held: Held) -> None:
    queue = held.running.queue
    for _ in range(30):
        queue.computed(tokens=held.tokens(PAIR), seconds=2)
    try:
        held.busy()
        refused = held.send(**{HEADER: "1000"}).result()
        detail = problem(refused, 429, "too-late")
        assert "an answer would take about" in detail
        assert int(refused.headers["Retry-After"]) >= 1
        patient = held.send()
        held.waiting(1)
        held.gate.set()
        assert patient.result().ok
    finally:
        for _ in range(200):
            queue.computed(tokens=held.tokens(PAIR), seconds=0.001)


def test_a_deadline_that_is_met_changes_nothing(held: Held) -> None:
    assert held.send(**{HEADER: "20000"}).result().ok
    both = held.send("/predict/batch", {"pairs": [PAIR, {}]}, **{HEADER: "20000"}).result()
    assert [next(iter(slot)) for slot in both.json()["results"]] == ["similarity", "type"]


@pytest.mark.parametrize("value", ["-1", "1.5", "soon", "", "1e3", "１", "+1", "1,", "1, x"])
def test_a_deadline_that_is_no_number_of_milliseconds_is_named(held: Held, value: str) -> None:
    answer = requests.post(
        held.running.predictions + "/predict",
        json=PAIR,
        headers={HEADER: value.encode()},
        timeout=60,
    )
    assert HEADER in problem(answer, 400, "bad-request")


@pytest.mark.parametrize(
    "value", ["3600001", "86400000", "9" * 400, "9" * 5000, "0", "000", "0, 0", "60000, 7200000"]
)
def test_a_deadline_beyond_ours_or_none_leaves_ours(held: Held, value: str) -> None:
    assert held.send(**{HEADER: value}).result().ok


@pytest.mark.parametrize("name", ["grpc-timeout", "X-Request-Timeout", "Request-Timeout"])
def test_deadlines_of_other_protocols_are_not_read(held: Held, name: str) -> None:
    assert held.send(**{name: "1n"}).result().ok


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [("250", 250), ("7200000", 7_200_000), ("300, 200", 200), ("0, 200", 200), ("00250", 250)],
)
def test_of_several_deadlines_the_shortest_holds(value: str, milliseconds: int) -> None:
    from service.http import request_context

    environ = {f"HTTP_{HEADER.upper().replace('-', '_')}": value, request_context.BEGAN: 10**9}
    found = request_context.of(environ)
    assert found.expires_ns == 10**9 + milliseconds * 10**6
    assert found.patience == f"{milliseconds:g} ms ({HEADER})"


def test_a_short_deadline_is_told_as_it_was_given(held: Held) -> None:
    for value in ("1", "2"):
        eventually(held.running.engine.idle)  # one that is not may refuse it instead
        held.gate.clear()
        detail = problem(held.send(**{HEADER: value}).result(), 504, "timed-out")
        assert detail.startswith(f"no result within {value} ms ({HEADER})")
        held.gate.set()


def test_a_deadline_is_told_as_it_was_given_also_if_the_queue_dropped_it_at_once(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = held.running.queue
    put = queue.put

    def put_and_drop(job: Job) -> int:
        joined: int = put(job)
        job.expire()
        return joined

    monkeypatch.setattr(queue, "put", put_and_drop)
    eventually(held.running.engine.idle)
    held.gate.clear()
    detail = problem(held.send(**{HEADER: "20000"}).result(), 504, "timed-out")
    held.gate.set()
    assert detail.startswith(f"no result within 20000 ms ({HEADER})")


def test_time_spent_before_the_application_counts() -> None:
    from service.http import request_context

    now = time.perf_counter_ns()
    environ = {
        f"HTTP_{HEADER.upper().replace('-', '_')}": "250",
        request_context.BEGAN: now - 10**9,
    }
    assert request_context.of(environ).expires_ns == now - 0.75e9


def test_a_pair_that_fails_its_batch_fails_alone(held: Held) -> None:
    poisoned = {"address1": "路" * 40, "address2": "号" * 41}
    held.busy()
    answers = [held.send() for _ in range(3)]
    refused = held.send(body=poisoned)
    mixed = held.send("/predict/batch", {"pairs": [PAIR, poisoned, {}, PAIR]})
    held.waiting(7)
    held.poison = held.tokens(poisoned)
    held.gate.set()
    assert [answer.result().status_code for answer in answers] == [200] * 3
    problem(refused.result(), 500, "engine-failed")
    slots = mixed.result().json()["results"]
    assert ["similarity" in slot or slot["status"] for slot in slots] == [True, 500, 400, True]
    assert held.metrics().total("mgeo_prediction_failed_total") == 2
    held.poison = 0
    assert held.send(body=poisoned).result().ok


def test_a_collection_walks_the_queue_once(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, walks = held.running.queue, []
    wanted = queue.wanted
    monkeypatch.setattr(queue, "wanted", lambda: walks.append(1) or wanted())
    # Longer than a collection may take on a machine that stalls.
    monkeypatch.setattr("service.app._COLLECTION_SECONDS", 1.0)
    time.sleep(1.1)
    held.metrics()
    assert len(walks) == 1
    time.sleep(1.1)
    held.metrics()
    assert len(walks) == 2
