"""The big runs: `python -m tests.fuzz http`, `checkpoints` and `files` (`make fuzz`).

The exit status is 1 if a case broke a rule. `--only NUMBER` sends or reads that one again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time

from tests.fuzz import checkpoints, files, http_surface
from tests.serving import Service

_THREADS = 24


def main() -> int:
    """Run one of the fuzzers."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=("http", "checkpoints", "files"))
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes, for checkpoints and files"
    )
    given = parser.parse_args()
    numbers = range(given.cases) if given.only is None else range(given.only, given.only + 1)
    if given.what == "checkpoints":
        return checkpoints.main(numbers, given.seed, given.workers)
    if given.what == "files":
        return files.main(numbers, given.seed, given.workers)
    return _http(numbers, given.seed)


def _http(numbers: range, seed: int) -> int:
    limits = ("--receive-timeout", "0.2", "--max-body-bytes", "65536")
    with Service(*limits) as service:
        document = json.loads(service.get(service.predictions, "/openapi.json")[1])
        before = _answer(service)
        began = time.monotonic()
        routes = http_surface.routes(document)
        report = http_surface.run(service.predictions, numbers, seed, routes, _THREADS)
        seconds = time.monotonic() - began
        failures = [f"case {number}: {why}" for number, why in report.failures]
        if _answer(service) != before:
            failures.append("a good pair is answered otherwise than before")
        if service.get(service.operations, "/livez")[0] != 200:
            failures.append("/livez fails")
        failures += [
            f"the service counted {sample.labels}"
            for sample in service.scrape().samples
            if sample.name == "mgeo_request_total"
            and http_surface.is_failure(int(sample.labels["status"]))
            and sample.value
        ]
        failures += [str(line) for line in service.log() if line["level"] in ("error", "critical")]
        failures += service.not_log()
        if service.terminate() != 0:
            failures.append("it did not end as it should")
    print(
        f"http: {len(numbers)} cases (seed {seed}) in {seconds:.0f} s, "
        f"{len(numbers) / seconds:.0f}/s; answers {dict(sorted(report.statuses.items()))}; "
        f"{len(failures)} failures"
    )
    for failure in failures[:50]:
        print(failure)
    return 1 if failures else 0


def _answer(service: Service) -> bytes:
    connection = http.client.HTTPConnection(*service.predictions, timeout=30)
    body = json.dumps(http_surface.PAIR)
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    connection.close()
    return answer


if __name__ == "__main__":
    raise SystemExit(main())
