"""An engine that dies takes the process with it: never one that answers health and no predictions.

The service is started as ever, with one function of its model replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.client import HTTPConnection

import pytest

from tests.conftest import TINY
from tests.serving import ROOT

pytestmark = pytest.mark.slow

PAIR = json.dumps({"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"})

DIES = """
import sys
from service.scoring.backends.openvino_backend import OpenVinoBackend
from service.__main__ import main
predict = OpenVinoBackend.predict
def dying(self, pairs, stream=None):
    if len(pairs[0].ids) > 15 and len(pairs) == 1 and armed:
        {how}
    return predict(self, pairs, stream)
OpenVinoBackend.predict = dying
armed = False
from service.lifecycle import Lifecycle, State
to = Lifecycle.to
def arming(self, state, error=None):
    global armed
    armed = armed or state is State.READY
    return to(self, state, error)
Lifecycle.to = arming
sys.exit(main(["serve", "--model", sys.argv[1], "--port", "0", "--metrics-port", "0"]))
"""


@pytest.mark.parametrize("how", ["raise SystemExit(0)", "raise KeyboardInterrupt"])
def test_the_process_ends_with_an_error_and_whoever_waited_was_told(how: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DIES.format(how=how), str(TINY)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        bound = ""
        for line in process.stderr:
            entry = json.loads(line)
            if entry.get("listener") == "predictions":
                bound = entry["bound"]
            if entry.get("to") == "ready":
                break
        rest: list[str] = []
        reader = threading.Thread(target=lambda: rest.extend(process.stderr or ()), daemon=True)
        reader.start()
        connection = HTTPConnection(bound, timeout=60)
        connection.request("POST", "/predict", PAIR, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 500
        assert json.load(answer)["type"] == "urn:mgeo:problem:engine-failed"
        connection.close()
        assert process.wait(60) == 1
        reader.join(60)
        assert any("the service failed" in line for line in rest)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)
        process.stderr.close()
