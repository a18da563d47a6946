"""Sends made-up address pairs to a running service, and counts the answers.

    python -m tools.load --url http://127.0.0.1:5000/predict --rate 5 --seconds 60
    python -m tools.load --requests 5000 --concurrency 16      as fast as it goes, then stops

SIGTERM and Ctrl-C end it early; what was counted until then is told.

Only loopback and the compose network's own names are meant as targets. The addresses are invented
from parts; none is anybody's. Only the standard library is used.
"""

import argparse
import collections
import http.client
import json
import random
import signal
import sys
import threading
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field

_CITIES = ("甲州市", "乙阳市", "丙安市", "丁海市")
_DISTRICTS = ("东城区", "南山区", "西湖区", "北塔区")
_ROADS = ("学府路", "长青街", "望江大道", "文昌巷", "星光路")
_PLACES = ("翠苑小区", "明珠大厦", "科技园", "金色家园")


@dataclass
class LoadSummary:
    """What the client saw.

    Attributes:
        statuses: Answers by HTTP status; 0 counts requests without an answer.
        seconds: Latency of each answered request, in seconds.
    """

    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Requests that got an answer, whatever its status."""
        return sum(count for status, count in self.statuses.items() if status)


def address(random_source: random.Random) -> str:
    """An invented address, down to the room: of the pairs of a load, none is to come twice."""
    pick = random_source.choice
    return (
        f"{pick(_CITIES)}{pick(_DISTRICTS)}{pick(_ROADS)}{random_source.randint(1, 199)}号"
        f"{pick(_PLACES)}{random_source.randint(1, 30)}幢{random_source.randint(101, 9999)}室"
    )


def pair(random_source: random.Random) -> dict[str, str]:
    """A pair of invented addresses: half the time the same one written differently."""
    first = address(random_source)
    same = random_source.random() < 0.5
    second = first.replace("幢", "栋") if same else address(random_source)
    return {"address1": first, "address2": second}


def run(
    url: str,
    *,
    requests: int,
    concurrency: int = 4,
    rate: float | None = None,
    seconds: float = 600.0,
    seed: int | None = None,
    stop: threading.Event | None = None,
) -> LoadSummary:
    """Sends requests until `requests` are sent, `seconds` have passed or `stop` is set.

    Args:
        url: Address of `/predict`.
        requests: How many at most.
        concurrency: Connections at the same time.
        rate: Requests a second over all connections; as fast as answers come by default.
        seconds: How long at most.
        seed: The same seed sends the same pairs; by default they are new, so that the service's
            cache knows none of them.
        stop: Set by whoever wants it to end early.

    Returns:
        What the client saw.
    """
    target = urllib.parse.urlsplit(url)
    result = LoadSummary()
    stop = stop or threading.Event()
    lock = threading.Lock()
    first = random.SystemRandom().getrandbits(48) if seed is None else seed * 1000
    started = time.monotonic()
    tickets = iter(range(requests))

    def worker(number: int) -> None:
        source = random.Random(first + number)  # noqa: S311 - addresses, no secrets
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        while True:
            with lock:
                ticket = next(tickets, None)
            if ticket is None:
                break
            if rate is not None:
                stop.wait(max(0.0, started + ticket / rate - time.monotonic()))
            if stop.is_set() or time.monotonic() - started > seconds:
                break
            body = json.dumps(pair(source))
            begun = time.perf_counter()
            try:
                connection.request("POST", target.path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            with lock:
                result.statuses[status] += 1
                if status:
                    result.seconds.append(time.perf_counter() - begun)
        connection.close()

    threads = [threading.Thread(target=worker, args=(n,), daemon=True) for n in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the load; 0 if every request was answered, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--url", default="http://127.0.0.1:5000/predict")
    parser.add_argument("--requests", type=int, default=1_000_000, help="at most this many")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--rate", type=float, help="requests a second; default: no limit")
    parser.add_argument("--seconds", type=float, default=60.0, help="stop after this long")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    # The first process of a container gets no signal that it has not asked for.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    result = run(
        options.url,
        requests=options.requests,
        concurrency=options.concurrency,
        rate=options.rate,
        seconds=options.seconds,
        stop=stop,
    )
    ordered = sorted(result.seconds)
    line = f"load: {result.answered} answers {dict(sorted(result.statuses.items()))}"
    if ordered:
        half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
        line += f", P50 {half * 1000:.1f} ms, P95 {most * 1000:.1f} ms"
    print(line)
    return 1 if result.statuses[0] else 0


if __name__ == "__main__":
    sys.exit(main())
