"""Measures the prediction API: start to first answer, a lone request, 64 clients; beside a bare uvicorn.

    python benchmarks/serving_first.py [MODEL] [--seconds 5] [--json]

Without MODEL it trains a small one on made-up rows first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

import handrail

SERVE = """
import sys
from pathlib import Path
from handrail.serve import serve
serve([Path(sys.argv[1])], port=0, ready=lambda address: print(address, flush=True))
"""
BARE = """
import orjson, socket, uvicorn
ANSWER = {"label": "no", "probability": 0.847411, "probabilities": {"no": 0.847411, "yes": 0.152589}}
async def app(scope, receive, send):
    orjson.loads((await receive())["body"])
    body = orjson.dumps(ANSWER)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False)
uvicorn.Server(config).run(sockets=[listening])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", help="a model's name or folder")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        model = handrail.load(options.model) if options.model else small_model(Path(home))
        body = json.dumps(model.examples[0]["input"]).encode()
        found = measured(model, body, options.seconds, options.clients)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32} {value:>12,.3f}" if isinstance(value, float) else f"{name:32} {value:>12}")


def small_model(home: Path) -> handrail.Model:
    """A classifier of five fields."""
    draw = random.Random(0)
    rows = []
    for _ in range(400):
        age, plan, active = draw.randint(18, 80), draw.choice(["basic", "plus", "pro"]), draw.random() < 0.6
        churned = (age < 40) + (plan == "basic") + (not active) + draw.gauss(0, 0.5) > 1.5
        row = {"age": age, "plan": plan, "active": active, "spend": draw.gauss(50, 10), "visits": draw.randint(0, 9)}
        rows.append({**row, "churned": "yes" if churned else "no"})
    return handrail.train(rows, target="churned", name="small", trials=2, home=home)


def measured(model: handrail.Model, body: bytes, seconds: float, clients: int) -> dict[str, object]:
    path = f"/{model.name}/predict"
    starts = []
    for _ in range(3):
        before = time.perf_counter()
        with running(SERVE, str(model.bundle.path)) as port:
            asyncio.run(load(port, path, body, clients=1, seconds=0.0))
            starts.append(time.perf_counter() - before)
    with running(SERVE, str(model.bundle.path)) as port:
        loaded(port, path, body, 1, 0.5)
        lone = loaded(port, path, body, 1, seconds)
        many = loaded(port, path, body, clients, seconds)
    with running(BARE) as port:
        loaded(port, path, body, 1, 0.5)
        bare_lone = loaded(port, path, body, 1, seconds)
        bare = loaded(port, path, body, clients, seconds)
    return {
        "cores": os.cpu_count() or 0,
        "start_to_first_answer_s": sorted(starts)[1],
        "lone_p50_ms": quantile(lone, 0.5),
        "lone_p99_ms": quantile(lone, 0.99),
        "lone_p50_ms_bare_uvicorn": quantile(bare_lone, 0.5),
        "clients": clients,
        "answers_per_s": len(many) / seconds,
        "p50_ms": quantile(many, 0.5),
        "p99_ms": quantile(many, 0.99),
        "answers_per_s_bare_uvicorn": len(bare) / seconds,
        "share_of_bare_uvicorn": len(many) / len(bare),
    }


@contextmanager
def running(code: str, *arguments: str) -> Iterator[int]:
    """A server in a process of its own; gives its port."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        yield int(address.rsplit(":", 1)[1])
        process.terminate()


def loaded(port: int, path: str, body: bytes, clients: int, seconds: float) -> list[float]:
    """Times of all answers, in seconds, of clients that ask again as soon as they are answered."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load(port, path, body, clients=clients, seconds=seconds))


async def load(port: int, path: str, body: bytes, *, clients: int, seconds: float) -> list[float]:
    kind = f"content-type: application/json\r\ncontent-length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{kind}\r\n\r\n"
    loop = asyncio.get_running_loop()
    asking = [Client(head.encode() + body, loop.time() + seconds) for _ in range(clients)]
    for client in asking:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.gather(*(client.done for client in asking))
    return [took for client in asking for took in client.times]


class Client(asyncio.Protocol):
    """Asks one thing again and again on one connection. It trusts an answer to come in one piece, as short ones do."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request = request
        self.until = until
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.held = b""
        self.ask()

    def ask(self) -> None:
        self.since = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, found, body = self.held.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(self.held.decode())
        self.held = b""
        self.times.append(time.perf_counter() - self.since)
        if asyncio.get_running_loop().time() < self.until:
            self.ask()
        else:
            self.transport.close()
            self.done.set_result(None)


def quantile(times: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(times)[int(share * (len(times) - 1))] * 1_000


if __name__ == "__main__":
    main()
