"""A served model as a real process, and a gateway inside this one."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from handrail.model import Model
from handrail.serve.api import Api, version_of
from handrail.serve.app import App
from handrail.serve.batcher import Batcher
from handrail.serve.http import Connection, Shared
from handrail.serve.limits import Limits
from handrail.serve.messages import Unframer
from handrail.serve.metrics import Metrics
from handrail.serve.replica import answered

JSON = {"content-type": "application/json"}
BAD_REPLICA = [sys.executable, str(Path(__file__).with_name("bad_replica.py"))]
START = """
import json, sys
from pathlib import Path
from handrail.serve import serve
from handrail.serve.limits import Limits
options = json.loads(sys.argv[1])
reference = sys.argv[2] if sys.argv[3:] else Path(sys.argv[2])
limits = Limits(**options.pop("limits", {}))
serve([reference], port=0, limits=limits, ready=lambda address: print(address, flush=True), **options)
"""


class Served:
    """A gateway with its replicas, on a port of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = JSON
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request on a connection of its own."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, content, dict(headers))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def predict(self, body: object) -> tuple[int, Any]:
        status, _, content = self.ask("POST", "/churn/predict", body)
        return status, json.loads(content)

    def raw(self, sent: bytes, *, timeout_s: float = 10.0, half_close: bool = False) -> bytes:
        """All that comes back for some bytes, until the other side closes or says nothing for a while."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            return drained(connection)

    def forkservers(self) -> list[int]:
        """The processes whose parent is the gateway: they hold the models."""
        return _children(self.process.pid)

    def replicas(self) -> list[int]:
        """The processes that answer: forked by those that hold the models."""
        return [replica for forkserver in self.forkservers() for replica in _children(forkserver)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


def _children(pid: int) -> list[int]:
    """The processes that any thread of a process started."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, children.read_text(encoding="ascii").split())
    return found


def drained(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(TimeoutError, ConnectionError):
        while data := connection.recv(65_536):
            parts.append(data)
    return b"".join(parts)


def status_of(answer: bytes) -> int:
    """The status of the first response in some bytes; 0 when there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def serving(reference: Path | str, **options: Any) -> Iterator[Served]:
    """A real server process of a bundle's folder or a model's name, killed at the end if it is still there."""
    options = {"adoptable_s": 0, **options}
    arguments = [
        sys.executable,
        "-W",
        "error",
        "-c",
        START,
        json.dumps(options),
        str(reference),
        *(["name"] if isinstance(reference, str) else []),
    ]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            address = process.stdout.readline()
            if not address:
                raise RuntimeError(process.stderr.read())
            yield Served(process, int(address.rsplit(":", 1)[1]))
        finally:
            if process.poll() is None:
                process.kill()


def is_up(pid: int) -> bool:
    """True while a process is there and not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    return False


def until(condition: object, tries: int = 2_000) -> None:
    """Waits for something another process does."""
    pause = threading.Event()
    for _ in range(tries):
        if condition():  # type: ignore[operator]
            return
        pause.wait(0.005)
    pytest.fail("it did not happen in time")


class InProcessLink:
    """A replica without a process: answers in the next turn of the loop."""

    def __init__(self, model: Model, batcher: Batcher) -> None:
        self.model = model
        self.batcher = batcher
        self.sent: list[bytes] = []
        self.held = False
        self.killed = False

    def send(self, message: bytes) -> None:
        self.sent.append(message)
        if not self.held:
            asyncio.get_running_loop().call_soon(self.reply)

    def reply(self) -> None:
        ((header, payload),) = Unframer().feed(self.sent[-1])
        ((answer, content),) = Unframer().feed(answered(self.model, header, payload))
        self.batcher.replied(self, answer, content)

    def kill(self) -> None:
        self.killed = True


class StandInPool:
    """What the routes ask a pool."""

    def __init__(self, ready: int = 1) -> None:
        self.ready = ready
        self.wanted = 1

    @property
    def is_ready(self) -> bool:
        return self.ready == self.wanted

    def memory_bytes(self) -> int:
        return 7

    def state(self) -> dict[str, int]:
        return {"ready": self.ready, "replicas": self.wanted}


class Asked:
    """One response of the ASGI callable."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Awaitable[Asked]]


def within(model: Model, act: Callable[[Ask, App], Awaitable[None]], *, ready: int = 1, **options: Any) -> None:
    """Runs `act(ask, app)` with a gateway in this process, over real connections that have no network."""

    async def run() -> None:
        metrics = Metrics()
        batcher = Batcher(metrics)
        batcher.joined(InProcessLink(model, batcher))
        version = version_of(model, batcher, StandInPool(ready), metrics)  # type: ignore[arg-type]
        limits = options.pop("limits", Limits())
        app = App({model.name: Api([version])}, limits=limits, **options)
        numbers = count(1)
        shared = Shared(app, limits, lambda: b"id-%d" % next(numbers))

        async def ask(method: str, path: str, body: object = None, *, query: str = "", **headers: str) -> Asked:
            content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            named = {"host": "127.0.0.1:8080", **({"content-type": "application/json"} if method == "POST" else {})}
            named |= {name.replace("_", "-"): value for name, value in headers.items()}
            named["content-length"] = str(len(content))
            lines = [f"{method} {quote(path)}{'?' if query else ''}{query} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in named.items()]
            return await _asked(shared, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content, method)

        await act(ask, app)

    asyncio.run(run())


class Wire(asyncio.Transport):
    """A transport without a network: keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.wrote = asyncio.Event()

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data
        self.wrote.set()

    def close(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def can_write_eof(self) -> bool:
        return False


async def _asked(shared: Shared, sent: bytes, method: str) -> Asked:
    wire, connection = Wire(), Connection(shared)
    connection.connection_made(wire)
    connection.data_received(sent)
    await asyncio.wait_for(wire.wrote.wait(), 20)
    connection.connection_lost(None)
    head, _, body = wire.written.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    found = dict(line.decode("latin-1").split(": ", 1) for line in lines)
    assert method == "HEAD" or int(found["content-length"]) == len(body)
    return Asked(int(status.split()[1]), found, body)
