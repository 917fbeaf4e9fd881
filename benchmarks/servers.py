"""Servers to measure, ours and the peers': how each is started and asked, on a core of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load import Request
from models import Made

HERE = Path(__file__).resolve().parent
OURS = """
import os, sys
from pathlib import Path
from handrail.serve import serve
serve([Path(sys.argv[1])], port=int(os.environ["PORT"]), access_log=True, adoptable_s=0)
"""
BENTO = ["-m", "bentoml", "serve", "serving_bento:Served", "--host", "127.0.0.1", "--port"]
START_LIMIT_S = 90.0
# Peers that are used in several ways, and how each is told to them.
WAYS: dict[str, dict[str, dict[str, str]]] = {
    "bento": {"bento, batched": {}},
    "litserve": {"litserve": {}, "litserve, batches": {"BATCH": "32"}},
    "granian": {"granian, ASGI": {"INTERFACE": "asgi"}, "granian, RSGI": {"INTERFACE": "rsgi"}},
    "ray": {
        "ray, default proxy": {},
        "ray, HAProxy": {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
    },
}


@dataclass(frozen=True)
class System:
    """A server to measure: how it is started (`python` and words) and what it is asked, in turn."""

    name: str
    python: Path
    words: list[str]
    requests: list[Request]
    environment: dict[str, str] = field(default_factory=dict)
    wanted: tuple[float, ...] = ()  # numbers that stand in a right answer to the first request


def ours(made: Made) -> System:
    """Handrail, with its checks, limits, metrics and access log."""
    requests = [Request("/m/predict", body) for body in made.bodies]
    return System("handrail", Path(sys.executable), ["-c", OURS, str(made.bundle)], requests, wanted=made.scores)


def bound(made: Made) -> System:
    """What no server of this kind can surpass by much: nothing but a parser, JSON and the runtime."""
    script = [str(HERE / "peers/serving_bound.py")]
    return System("bound", Path(sys.executable), script, [_plain(made, "/predict")], wanted=made.scores)


def peers(made: Made, venvs: dict[str, Path]) -> list[System]:
    """The servers whose environments are given, each in every way in which it is used."""
    found = []
    for name, path in venvs.items():
        script = BENTO if name == "bento" else [str(HERE / f"peers/serving_{name}.py")]
        for way, environment in WAYS.get(name, {name: {}}).items():
            asked = [_asked(name, made)]
            found.append(System(way, path / "bin" / "python", script, asked, environment, made.scores))
    return found


def _asked(name: str, made: Made) -> Request:
    """The row in the words of a peer."""
    row = made.numbers
    if name == "bento":
        return Request("/predict_batched", json.dumps({"x": [row]}).encode())
    if name == "mlserver":
        tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}
        return Request("/v2/models/m/infer", json.dumps({"inputs": [tensor]}).encode())
    if name == "kserve":
        return Request("/v1/models/m:predict", json.dumps({"instances": [row]}).encode())
    return _plain(made, "/" if name == "ray" else "/predict")


def _plain(made: Made, path: str) -> Request:
    return Request(path, json.dumps({"x": made.numbers}).encode())


class SilentError(Exception):
    """A server that did not answer right in time."""


@contextmanager
def running(system: System, folder: Path) -> Iterator[tuple[int, int]]:
    """A server on its own core; gives its process number and port when it answers right."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))
    environment = {
        **os.environ,
        "MODEL": str(folder / "model.onnx"),
        "PORT": str(port),
        "PYTHONPATH": str(HERE / "peers")
        if system.python != Path(sys.executable)
        else os.environ.get("PYTHONPATH", ""),
        "BENTOML_DO_NOT_TRACK": "True",
        "OMP_NUM_THREADS": "1",
        **system.environment,
    }
    words = [*system.words, *([str(port)] if system.words[-1] == "--port" else [])]
    with subprocess.Popen(
        [str(system.python), *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[0]}),  # noqa: PLW1509 - no threads are running here
    ) as process:
        os.sched_setaffinity(0, {cores[-1]})
        try:
            until_right(system, process, port)
            yield process.pid, port
        finally:
            os.sched_setaffinity(0, set(cores))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def until_right(system: System, process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    first = system.requests[0]
    while time.monotonic() < end and process.poll() is None:
        try:
            asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            asking.request("POST", first.path, first.body, {"content-type": "application/json"})
            answer = asking.getresponse()
            content = answer.read()
            asking.close()
            if answer.status == 200:
                check(system, content)
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    raise SilentError(f"{system.name} does not answer")


def check(system: System, content: bytes) -> None:
    """Ends the program where an answer lacks one of the numbers wanted."""
    found = list(_numbers(json.loads(content)))
    for number in system.wanted:
        if not any(abs(number - other) < 1e-4 for other in found):
            raise SystemExit(f"{system.name} answers wrong: {content[:200]!r}, wanted {system.wanted}")


def _numbers(value: Any) -> Iterator[float]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, int | float):
        yield value
    for one in inner:
        yield from _numbers(one)
