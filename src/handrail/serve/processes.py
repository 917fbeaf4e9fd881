"""The gateway's ends of the processes it starts: a fork server for each bundle, and the replicas forked from it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from handrail import __version__
from handrail.core.control_group import out_of_memory_kills
from handrail.core.errors import HandrailError
from handrail.core.sockets import private_folder
from handrail.serve.forkserver import FORK, STOP
from handrail.serve.messages import Header, Unframer
from handrail.serve.output import VARIABLE

REPLICA: Final = (sys.executable, "-P", "-m", "handrail.serve.replica")
WRITER: Final = (sys.executable, "-P", "-m", "handrail.serve.generation_replica")
WRITING: Final = "generation"
# How many cores a replica that writes uses; unset, all that it may.
THREADS: Final = "HANDRAIL_THREADS"
READY_TIMEOUT_S: Final = 60.0
ADOPTABLE_S: Final = 15.0
# How long the news of a process's end may lag behind the end of its socket.
NEWS_S: Final = 1.0

log = logging.getLogger("handrail.serve")


def program_of(task: str) -> Sequence[str]:
    """What is started for a model of this task."""
    return WRITER if task == WRITING else REPLICA


@dataclass(frozen=True)
class Started:
    """A fork server, before the gateway's loop runs. `process` is None when an earlier gateway started it."""

    folder: Path
    control: socket.socket
    process: subprocess.Popen[bytes] | None

    def close(self) -> None:
        """Lets it go, and ends it where it is ours."""
        with contextlib.suppress(OSError):
            self.control.send(STOP)
        self.control.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Ended:
    """How a replica ended: the exit status (a signal's number is negative), and the most memory it ever held."""

    status: int
    peak_bytes: int
    out_of_memory: bool

    @property
    def crashed(self) -> bool:
        """True when it ended by itself. A plain SIGKILL or SIGTERM came from outside: no request is to blame for it."""
        return self.out_of_memory or self.status not in (-signal.SIGKILL, -signal.SIGTERM)

    def __str__(self) -> str:
        peak = f"it held {self.peak_bytes / 2**20:,.0f} MB at most"
        if self.out_of_memory:
            return f"killed by the system, which was out of memory; {peak}"
        if self.status < 0:
            return f"ended by {signal.Signals(-self.status).name}; {peak}"
        return f"exit status {self.status}; {peak}"


def start_forkserver(
    folder: Path,
    command: Sequence[str] = REPLICA,
    adoptable_s: float = ADOPTABLE_S,
    environment: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> Started:
    """The fork server of a bundle: one that a gateway left behind, else a new process.

    `environment` is added to ours; what it and its replicas print goes to `log_file` (None: where we print).
    """
    added = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **(environment or {})}
    if log_file is not None:
        added[VARIABLE] = str(log_file)
    told = [*command, *(f"{name}={value}" for name, value in sorted(added.items()))]
    rendezvous = _rendezvous(folder, told) if adoptable_s > 0 else None
    for control in _left_behind(rendezvous):
        return Started(folder, control, None)
    ours, theirs = socket.socketpair()
    with theirs, _opened_log(log_file) as file:
        arguments = [*command, str(folder), str(theirs.fileno()), str(rendezvous or ""), str(adoptable_s)]
        process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
            arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=file or sys.stderr, stderr=file,
            env={**os.environ, **added}, start_new_session=log_file is not None,
        )  # fmt: skip
    return Started(folder, ours, process)


@contextlib.contextmanager
def _opened_log(path: Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield file


@dataclass(frozen=True)
class Forked:
    """A replica that was asked for: our ends of its sockets, and its process once the fork server has told it."""

    sockets: list[socket.socket]
    pid: asyncio.Future[int]


class ForkServer(asyncio.Protocol):
    """A fork server as the gateway sees it, while it is open."""

    def __init__(self, started: Started) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Header] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._started = started
        self._ended: dict[int, asyncio.Future[Ended]] = {}
        self._forked: deque[asyncio.Future[int]] = deque()
        self._out_of_memory_kills = out_of_memory_kills()
        self._unframer = Unframer()
        self._transport: asyncio.BaseTransport | None = None

    async def open(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Returns when its model has answered its examples right. Raises HandrailError with what it said if not."""
        self._started.control.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._started.control)
        header = await first_of(self.ready, self.closed, timeout_s)
        if header.get("ready") is not True:
            self.close()
            raise said_by(header, "the replica did not start")

    def fork(self, sockets: int = 1) -> Forked:
        """A new replica with so many sockets, one for each of its threads. Raises OSError when the fork server is
        gone."""
        with contextlib.ExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(sockets)]
            theirs = [stack.enter_context(pair[1]) for pair in pairs]
            socket.send_fds(self._started.control, [FORK], [one.fileno() for one in theirs])
        for ours, _ in pairs:
            ours.setblocking(False)
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._forked.append(pid)
        return Forked([ours for ours, _ in pairs], pid)

    async def ended(self, pid: int) -> Ended | None:
        """How that replica ended; None when nobody tells."""
        news = self._news_of(pid)
        ends: list[asyncio.Future[Any]] = [news, self.closed]
        await asyncio.wait(ends, timeout=NEWS_S, return_when=asyncio.FIRST_COMPLETED)
        self._ended.pop(pid, None)
        return news.result() if news.done() else None

    @property
    def is_open(self) -> bool:
        return not self.closed.done()

    @property
    def pid(self) -> int:
        return int(self.ready.result()["pid"])

    def close(self) -> None:
        """Ends it, and the replicas that are still there."""
        with contextlib.suppress(OSError):
            self._started.control.send(STOP)
        if self._transport is not None:
            self._transport.close()

    async def gone(self, grace_s: float) -> None:
        """Waits for its end, and kills it when that does not come."""
        process = self._started.process
        if process is None:
            return
        until = asyncio.get_running_loop().time() + grace_s
        while process.poll() is None:
            if asyncio.get_running_loop().time() > until:
                process.kill()
            await asyncio.sleep(0.005)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for header, _ in self._unframer.feed(data):
            if not self.ready.done():
                self.ready.set_result(header)
            elif "forked" in header:
                self._forked.popleft().set_result(header["forked"])
            elif "ended" in header and not (news := self._news_of(header["ended"])).done():
                news.set_result(
                    Ended(header["status"], header["peak_bytes"], self._was_out_of_memory(header["status"]))
                )

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _was_out_of_memory(self, status: int) -> bool:
        before, self._out_of_memory_kills = self._out_of_memory_kills, out_of_memory_kills()
        return status == -signal.SIGKILL and self._out_of_memory_kills > before

    def _news_of(self, pid: int) -> asyncio.Future[Ended]:
        return self._ended.setdefault(pid, asyncio.get_running_loop().create_future())


class Answers(Protocol):
    """Who is told of what a replica sends: the batcher."""

    def replied(self, link: Any, header: Header, payload: bytes) -> None: ...


class Replica(asyncio.Protocol):
    """One replica that runs: the gateway's end of its socket."""

    def __init__(self, answers: Answers, origin: ForkServer) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Header] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.origin = origin
        self.hung = False
        # The sockets of the same process, this one among them: one for each of its threads.
        self.companions: list[Replica] = [self]
        self._answers = answers
        self._unframer = Unframer()
        self._transport: asyncio.Transport | None = None

    @property
    def told(self) -> Header:
        """What it said when it was ready."""
        return self.ready.result()

    @property
    def pid(self) -> int:
        return int(self.told["pid"])

    def send(self, message: bytes) -> None:
        # One whose socket has just ended takes nothing; the batcher hears of its end and asks the next.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(message)

    def kill(self) -> None:
        """Ends a replica that hangs; the batcher hears of it when its socket closes."""
        if not self.ready.done():
            self.close()  # it never said who it is; its end of the socket ends with ours
            return
        if not self.hung:
            log.warning("replica %s does not answer and is killed", self.pid)
        self.hung = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for header, payload in self._unframer.feed(data):
                if self.ready.done():
                    self._answers.replied(self, header, payload)
                else:
                    self.ready.set_result(header)
        except ValueError:
            log.exception("a replica sent what is no message")
            self.kill()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """One batch is in flight at a time and batches are bounded, so writing never has to wait."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""


async def first_of(
    ready: asyncio.Future[Header], closed: asyncio.Future[None], timeout_s: float = READY_TIMEOUT_S
) -> Header:
    """What came first over a new connection; nothing when it ended or said nothing in time."""
    ends: list[asyncio.Future[Any]] = [ready, closed]
    await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return ready.result() if ready.done() else {}


def said_by(header: Header, otherwise: str) -> HandrailError:
    """The error that a process told of itself, or `otherwise` where it told none."""
    if said := header.get("error"):
        return HandrailError(said["code"], said["message"], said["hint"], where=said.get("where"))
    return HandrailError("environment", otherwise, "see what it wrote to stderr, then try again")


def _rendezvous(folder: Path, command: Sequence[str]) -> Path | None:
    """Where a fork server of this bundle and this program waits for its next gateway; None where it may not."""
    ours = private_folder()
    if ours is None:
        return None
    manifest = b""  # a folder of code is named by what is in it
    with contextlib.suppress(OSError):
        manifest = (folder / "manifest.json").read_bytes()
    program = [__version__, *command]
    told = "\0".join([str(folder.resolve()), hashlib.sha256(manifest).hexdigest(), *program])
    return ours / hashlib.sha256(told.encode()).hexdigest()[:16]


def _left_behind(rendezvous: Path | None) -> Iterator[socket.socket]:
    """Connections to fork servers that wait there. A file nobody listens behind is removed."""
    if rendezvous is None:
        return
    for place in rendezvous.parent.glob(f"{rendezvous.name}.*"):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            control.connect(str(place))
        except OSError:
            control.close()
            place.unlink(missing_ok=True)
            continue
        yield control
