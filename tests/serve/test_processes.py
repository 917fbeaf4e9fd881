"""Real gateways with real replicas: start, drain, crash, hang."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.core.errors import HandrailError
from handrail.model import Model
from handrail.serve import serve
from tests.serve.bundles import ROW, ROWS
from tests.serve.served import BAD_REPLICA, Served, drained, is_up, serving, until


@pytest.fixture(scope="module")
def bad(model: Model) -> Iterator[Served]:
    """A gateway over a replica that can be made to crash, hang or fail."""
    with serving(model.bundle.path, command=BAD_REPLICA, hang_s=1.0) as served:
        yield served


def test_it_answers_over_http_and_sigterm_ends_it_with_0(model: Model) -> None:
    with serving(model.bundle.path) as served:
        assert served.ask("GET", "/readyz")[0] == 200
        assert served.predict(ROWS) == (200, model(ROWS))
        replicas = served.replicas()
        assert served.stop() == 0
        until(lambda: not any(map(is_up, replicas)))


def test_sigterm_answers_what_is_in_flight(model: Model) -> None:
    rows = [ROW] * 10_000
    body = json.dumps(rows).encode()
    with (
        serving(model.bundle.path) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=20) as client,
    ):
        head = b"POST /churn/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body[:-1])
        assert served.ask("GET", "/readyz")[0] == 200  # so the gateway has read what came before
        served.process.send_signal(signal.SIGTERM)
        until(lambda: _refused(served.port))
        client.sendall(body[-1:])
        content = drained(client).split(b"\r\n\r\n", 1)[1]
        assert len(json.loads(content)) == 10_000
        assert served.process.wait(timeout=20) == 0


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


def test_the_replica_goes_when_the_gateway_is_killed(model: Model) -> None:
    with serving(model.bundle.path) as served:
        replicas = served.replicas()
        assert replicas
        served.stop(signal.SIGKILL)
        until(lambda: not any(map(is_up, replicas)))


def test_killing_the_replica_under_load_loses_no_request(model: Model) -> None:
    wanted, wrong = model(ROW), []
    with serving(model.bundle.path) as served:
        done = threading.Event()

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
            while not done.is_set():
                connection.request("POST", "/churn/predict", json.dumps(ROW), {"content-type": "application/json"})
                response = connection.getresponse()
                content = response.read()
                if response.status != 200 or json.loads(content) != wanted:
                    wrong.append((response.status, content))
            connection.close()

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        (first,) = served.replicas()
        os.kill(first, signal.SIGKILL)
        until(lambda: served.replicas() not in ([], [first]))
        until(lambda: served.ask("GET", "/readyz")[0] == 200)
        served.predict(ROW)
        done.set()
        for client in clients:
            client.join()
        assert b'handrail_replica_restarts_total{model="churn",version="0"} 1' in served.ask("GET", "/metrics")[2]
    assert wrong == []


def test_a_row_that_makes_the_model_fail_fails_alone_and_shows_no_path(bad: Served, model: Model) -> None:
    status, found = bad.predict([ROW, {**ROW, "age": 888}])
    assert status == 500
    assert found["error"]["message"] == "row 2: the model failed on this row"
    assert "secret" not in json.dumps(found)
    assert bad.predict(ROW) == (200, model(ROW))


def test_a_row_that_crashes_the_model_is_refused_and_the_next_is_answered(bad: Served, model: Model) -> None:
    before = bad.replicas()
    for _ in range(5):
        status, found = bad.predict({**ROW, "age": 666})
        assert status == 422
        assert "crashed" in found["error"]["message"]
    assert bad.predict(ROW) == (200, model(ROW))
    assert bad.replicas() != before


def test_a_row_that_hangs_the_model_times_out_and_the_replica_is_replaced(bad: Served, model: Model) -> None:
    before = bad.replicas()
    headers = {"content-type": "application/json", "x-deadline-ms": "300"}
    assert bad.ask("POST", "/churn/predict", {**ROW, "age": 777}, headers)[0] == 504
    assert bad.predict(ROW) == (200, model(ROW))
    assert bad.replicas() != before


def test_a_taken_port_is_named_with_a_way_out(model: Model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HandrailError) as found:
        port = taken.getsockname()[1]
        serve([model], port=port)
    assert found.value.problem == f"port {port} is taken"
    assert "--port 0" in found.value.mend
    assert found.value.exit_status == 5


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org", ""])
def test_an_address_others_could_reach_is_refused(model: Model, host: str) -> None:
    with pytest.raises(HandrailError) as found:
        serve([model], host=host, port=0)
    assert (found.value.code, found.value.exit_status) == ("usage", 2)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_refused(model: Model, port: int) -> None:
    with pytest.raises(HandrailError, match=str(port)):
        serve([model], port=port)


def test_a_damaged_bundle_is_not_served(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    shutil.copytree(model.bundle.path, folder)
    weights = folder / "weights" / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(RuntimeError, match=r"checksum mismatch in weights/model\.onnx"), serving(folder):
        pass


def test_no_model_and_one_model_twice_are_refused(model: Model) -> None:
    for models in ([], [model, model]):
        with pytest.raises(HandrailError) as found:
            serve(models, port=0)
        assert found.value.code == "usage"
