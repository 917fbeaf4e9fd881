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


@dataclass(frozen=True)
class System:
    """A server to measure: how it is started (`python` and words) and what it is asked, in turn."""

    name: str
    python: Path
    words: list[str]
    requests: list[Request]
    environment: dict[str, str] = field(default_factory=dict)


def ours(made: Made) -> System:
    """Handrail, with its checks, limits, metrics and access log."""
    requests = [Request("/m/predict", body) for body in made.bodies]
    return System("handrail", Path(sys.executable), ["-c", OURS, str(made.bundle)], requests)


def bound(made: Made) -> System:
    """What no server of this kind can surpass by much: nothing but a parser, JSON and the runtime."""
    return System("bound", Path(sys.executable), [str(HERE / "peers/serving_bound.py")], [_plain(made, "/predict")])


def peers(made: Made, venvs: dict[str, Path]) -> list[System]:
    """The servers whose environments are given, each in every way in which it is used."""
    row = made.numbers
    many = json.dumps({"x": [row]}).encode()
    one = _plain(made, "/predict")
    found = []
    for name, python in {name: path / "bin" / "python" for name, path in venvs.items()}.items():
        script = [str(HERE / f"peers/serving_{name}.py")]
        if name == "bento":
            found.append(System("bento, batched", python, BENTO, [Request("/predict_batched", many)]))
        elif name == "litserve":
            found.append(System("litserve", python, script, [one]))
            found.append(System("litserve, batches", python, script, [one], {"BATCH": "32"}))
        elif name == "mlserver":
            tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}
            asked = json.dumps({"inputs": [tensor]}).encode()
            found.append(System("mlserver", python, script, [Request("/v2/models/m/infer", asked)]))
        else:
            found.append(System(name, python, script, [_plain(made, "/") if name == "ray" else one]))
    return found


def _plain(made: Made, path: str) -> Request:
    return Request(path, json.dumps({"x": made.numbers}).encode())


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
            answer.read()
            asking.close()
            if answer.status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    raise SystemExit(f"{system.name} does not answer")
