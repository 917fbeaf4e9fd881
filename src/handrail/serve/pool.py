"""The replicas of one API: started, asked whether they are ready and there, replaced when they die or hang."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.serve.batcher import Batcher
from handrail.serve.messages import Header, Unframer
from handrail.serve.metrics import Metrics

REPLICA: Final = (sys.executable, "-P", "-m", "handrail.serve.replica")
TICK_S: Final = 0.25
PING_EVERY_TICKS: Final = 4
READY_TIMEOUT_S: Final = 60.0
LONGEST_BACK_OFF_S: Final = 10.0
# A replica that was up this long did not die of its start, so the next one comes at once.
SETTLED_S: Final = 30.0

log = logging.getLogger("handrail.serve")
Started = tuple[subprocess.Popen[bytes], socket.socket]


def start_replica(folder: Path, command: Sequence[str] = REPLICA) -> Started:
    """A new replica process and our end of its socket. It shares nothing else with us."""
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with theirs:
        arguments = [*command, str(folder), str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
            arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment
        )
    ours.setblocking(False)
    return process, ours


class Connection(asyncio.Protocol):
    """One replica that runs: the gateway's end of its socket, an asyncio protocol."""

    def __init__(self, process: subprocess.Popen[bytes], batcher: Batcher) -> None:
        self.process = process
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Header] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._batcher = batcher
        self._unframer = Unframer()
        self._transport: asyncio.Transport | None = None

    def send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.write(message)

    def kill(self) -> None:
        """Ends a replica that hangs; the batcher hears of it when its socket closes."""
        log.warning("replica %s does not answer and is killed", self.process.pid)
        self.process.kill()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for header, payload in self._unframer.feed(data):
                if self.ready.done():
                    self._batcher.replied(self, header, payload)
                else:
                    self.ready.set_result(header)
        except ValueError:
            log.exception("replica %s sent what is no message", self.process.pid)
            self.process.kill()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """One batch is in flight at a time and batches are bounded, so writing never has to wait."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""


class Pool:
    """Keeps `replicas` processes of one bundle up while it is open."""

    def __init__(
        self,
        folder: Path,
        batcher: Batcher,
        metrics: Metrics,
        *,
        replicas: int = 1,
        hang_s: float = 8.0,
        grace_s: float = 5.0,
        command: Sequence[str] = REPLICA,
    ) -> None:
        self.batcher = batcher
        self.ready = 0
        self.wanted = replicas
        self._folder = folder
        self._metrics = metrics
        self._hang_s = hang_s
        self._grace_s = grace_s
        self._command = command
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: set[Connection] = set()
        self._stopping = False

    async def open(self, started: Sequence[Started] = ()) -> None:
        """Returns when every replica has answered its examples right. Raises what the first one said if it cannot."""
        firsts = [*started, *(start_replica(self._folder, self._command) for _ in range(self.wanted - len(started)))]
        connections = [await self._connected(first) for first in firsts]
        for connection in connections:
            await self._until_ready(connection)
        self._tasks = [asyncio.create_task(self._keep_up(connection)) for connection in connections]
        self._tasks.append(asyncio.create_task(self._watch()))
        await asyncio.sleep(0)

    @property
    def is_ready(self) -> bool:
        return self.ready == self.wanted and not self._stopping

    def pids(self) -> list[int]:
        """The processes that are up, for operators and tests."""
        return [connection.process.pid for connection in self._connections]

    def memory_bytes(self) -> int:
        """Resident memory of the replicas together; 0 where the system does not tell."""
        return sum(map(_resident_bytes, self.pids()))

    async def close(self) -> None:
        """Stops all replicas: asks, waits `grace_s`, kills."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.batcher.close()
        for connection in list(self._connections):
            connection.close()
            await self._ended(connection.process, self._grace_s)
        self._connections.clear()

    async def _keep_up(self, connection: Connection) -> None:
        """One place of a replica: serves with `connection`, and with its successors when it dies."""
        loop = asyncio.get_running_loop()
        back_off_s = 0.0
        while True:
            since = loop.time()
            self.ready += 1
            self.batcher.joined(connection)
            try:
                await connection.closed
            finally:
                self.ready -= 1
            self.batcher.lost(connection)
            await self._gone(connection)
            if loop.time() - since > SETTLED_S:
                back_off_s = 0.0
            connection, back_off_s = await self._successor(back_off_s)

    async def _successor(self, back_off_s: float) -> tuple[Connection, float]:
        while True:
            self._metrics.restarts += 1
            await asyncio.sleep(back_off_s)
            back_off_s = min(LONGEST_BACK_OFF_S, back_off_s * 2 or 0.1)
            try:
                connection = await self._connected(start_replica(self._folder, self._command))
                await self._until_ready(connection)
            except (HandrailError, OSError) as error:
                log.warning("a replica did not start: %s", error)
                continue
            log.warning("a replica died; %s took its place", connection.process.pid)
            return connection, back_off_s

    async def _connected(self, started: Started) -> Connection:
        process, ours = started
        connection = Connection(process, self.batcher)
        self._connections.add(connection)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: connection, sock=ours)
        return connection

    async def _until_ready(self, connection: Connection) -> None:
        ends: list[asyncio.Future[Any]] = [connection.ready, connection.closed]
        done, _ = await asyncio.wait(ends, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        header = connection.ready.result() if connection.ready in done else {}
        if header.get("ready") is True:
            return
        await self._gone(connection)
        if said := header.get("error"):
            raise HandrailError(said["code"], said["message"], said["hint"], where=said.get("where"))
        raise HandrailError("environment", "the replica did not start", "see what it wrote to stderr, then try again")

    async def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.close()
        await self._ended(connection.process, 0.0)

    async def _ended(self, process: subprocess.Popen[bytes], grace_s: float) -> None:
        """Asks the process to stop, kills it when it does not in time, and takes its status."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM if grace_s else signal.SIGKILL)
        until = loop.time() + grace_s
        while process.poll() is None:
            if loop.time() > until:
                process.kill()
            await asyncio.sleep(0.01)

    async def _watch(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            self.batcher.tick(self._hang_s, ping=ticks % PING_EVERY_TICKS == 0)


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
