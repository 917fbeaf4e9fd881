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
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from handrail.model import Model
from handrail.serve.api import api_of
from handrail.serve.app import App
from handrail.serve.batcher import Batcher
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
options = json.loads(sys.argv[2])
limits = Limits(**options.pop("limits", {}))
serve([Path(sys.argv[1])], port=0, limits=limits, ready=lambda address: print(address, flush=True), **options)
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

    def replicas(self) -> list[int]:
        """The processes whose parent is the gateway."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(word) for word in found.split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


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
def serving(folder: Path, **options: Any) -> Iterator[Served]:
    """A real server process, killed at the end if it is still there."""
    arguments = [sys.executable, "-W", "error", "-c", START, str(folder), json.dumps(options)]
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
    """Runs `act(ask, app)` with a gateway in this process."""

    async def run() -> None:
        metrics = Metrics()
        batcher = Batcher(model.name, metrics)
        batcher.joined(InProcessLink(model, batcher))
        api = api_of(model, batcher, StandInPool(ready), metrics)  # type: ignore[arg-type]
        app = App({model.name: api}, limits=options.pop("limits", Limits()), **options)

        async def ask(
            method: str,
            path: str,
            body: object = None,
            *,
            query: str = "",
            chunks: list[bytes] | None = None,
            **headers: str,
        ) -> Asked:
            content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            return await _asked(app, method, path, query, chunks or [content], headers)

        await act(ask, app)

    asyncio.run(run())


async def _asked(
    app: App, method: str, path: str, query: str, chunks: list[bytes], headers: Mapping[str, str]
) -> Asked:
    named = {"host": "127.0.0.1:8080", **({"content-type": "application/json"} if method == "POST" else {})}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    parts = [{"type": "http.request", "body": part, "more_body": part is not chunks[-1]} for part in chunks]
    sent: list[dict[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(), "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    if not sent:
        return Asked(0, {}, b"")
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Asked(sent[0]["status"], found, sent[1]["body"])
