"""The access log of a real server: whole lines, and nobody waits for who reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from handrail.model import Model
from tests.serve.bundles import ROW
from tests.serve.served import START, Served, serving


def test_every_request_has_a_line_when_the_server_has_ended(model: Model) -> None:
    with serving(model.bundle.path, access_log=True) as served:
        for _ in range(50):
            assert served.predict(ROW)[0] == 200
        assert served.stop() == 0
        assert served.process.stderr is not None
        lines = [json.loads(line) for line in served.process.stderr.read().splitlines()]
    assert [line["status"] for line in lines if line["path"] == "/churn/predict"] == [200] * 50


def test_a_log_that_nobody_reads_holds_up_no_answer_and_no_end(model: Model) -> None:
    options = json.dumps({"adoptable_s": 0, "access_log": True})
    reads, writes = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", START, options, str(model.bundle.path)], stdout=subprocess.PIPE, stderr=writes, text=True
    ) as process:
        assert process.stdout is not None
        served = Served(process, int(process.stdout.readline().rsplit(":", 1)[1]))
        for _ in range(1_000):  # some 180 bytes each: more than a pipe holds
            assert served.predict(ROW)[0] == 200
        assert served.stop() == 0
    os.close(reads)
    os.close(writes)
