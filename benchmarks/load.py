"""Loads a server: clients that ask again as soon as they are answered, and what its processes cost meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop


@dataclass(frozen=True)
class Request:
    """What clients ask, again and again."""

    path: str
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def raw(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"POST {self.path} HTTP/1.1", "host: 127.0.0.1", f"content-type: {self.content_type}"]
        lines += [f"content-length: {len(self.body)}", *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


@dataclass(frozen=True)
class Loaded:
    """What came of it: seconds of each answer, answers that were not 200, and what the server's processes used."""

    times: list[float]
    refused: int
    seconds: float
    cpu_s: float
    memory_mb: float

    @property
    def per_s(self) -> float:
        return len(self.times) / self.seconds

    def quantile_ms(self, share: float) -> float:
        return sorted(self.times)[int(share * (len(self.times) - 1))] * 1_000 if self.times else float("nan")


def loaded(port: int, requests: Sequence[Request], *, clients: int, seconds: float, server: int) -> Loaded:
    """Loads the server with process number `server` for some seconds. Each client asks all requests in turn."""
    cpu = cpu_s(server)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        asking = runner.run(_load(port, [request.raw() for request in requests], clients, seconds))
    return Loaded(
        [took for client in asking for took in client.times],
        sum(client.refused for client in asking),
        seconds,
        cpu_s(server) - cpu,
        memory_mb(server),
    )


async def _load(port: int, raws: list[bytes], clients: int, seconds: float) -> list[Client]:
    loop = asyncio.get_running_loop()
    starts = [place * len(raws) // clients for place in range(clients)]
    asking = [Client(raws[start:] + raws[:start], loop.time() + seconds) for start in starts]
    for client in asking:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.wait([client.done for client in asking], timeout=seconds + 30)
    return asking


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, raws: list[bytes], until: float) -> None:
        self.raws = itertools.cycle(raws)
        self.until = until
        self.times: list[float] = []
        self.refused = 0
        self.held = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.since = time.perf_counter()
        self.transport.write(next(self.raws))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, found, body = self.held.partition(b"\r\n\r\n")
        if not found or not _is_whole(head.lower(), body):
            return
        if head.startswith(b"HTTP/1.1 200"):
            self.times.append(time.perf_counter() - self.since)
        else:
            self.refused += 1
        self.held = b""
        if time.perf_counter() < self.until and asyncio.get_running_loop().time() < self.until:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _is_whole(head: bytes, body: bytes) -> bool:
    length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
    return len(body) >= int(length) if length else body.endswith(b"0\r\n\r\n")


def family(process: int) -> list[int]:
    """A process and all that came from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [process]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def cpu_s(process: int) -> float:
    """Processor seconds that a process and its family have used."""
    ticks = 0
    for member in family(process):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    """Memory of a process and its family; pages they share are counted once (PSS)."""
    found = 0
    for member in family(process):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found / 1024
