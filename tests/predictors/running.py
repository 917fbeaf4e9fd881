"""Predictors as real processes, asked over a socket as a gateway asks them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from handrail.deploy.spec import ApiLimits, ApiSpec, Batching, Compute, ModelFiles, Predictor
from handrail.predictors.exchange import Reply, packed_rows, reply_of
from handrail.predictors.project import snapshot
from handrail.serve.forkserver import FORK, STOP
from handrail.serve.formats.predictor import packed
from handrail.serve.messages import Unframer, framed, parted
from handrail.serve.output import VARIABLE
from handrail.serve.predictor_replica import command_of

JSON = {"content-type": "application/json"}
TIMEOUT_S = 30.0


def write_project(folder: Path, code: str, files: Mapping[str, str | bytes] | None = None) -> Path:
    """A project with a predictor.py, and other files by their names."""
    for name, content in {"predictor.py": code, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
    return folder


def spec_of(
    *, mem: int | None = None, ready_s: float = 20.0, env: Mapping[str, str] | None = None, cpu: float = 1.0,
    models: ModelFiles | None = None, batches: bool = False, **predictor: Any,
) -> dict[str, Any]:  # fmt: skip
    """An API's specification, as plain values."""
    batching = Batching(8, 0.05) if batches else None
    code = Predictor(**{"path": "predictor.py", "models": models, "server_side_batching": batching, **predictor})
    limits, compute = ApiLimits(ready_s=ready_s), Compute(cpu=cpu, mem=mem)
    return ApiSpec("iris", predictor=code, limits=limits, compute=compute, env=env or {}).as_dict()


class Asked:
    """One replica: its sockets, and what it said first."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = sockets
        self._unframers = [Unframer() for _ in sockets]
        self._waiting: list[list[Any]] = [[] for _ in sockets]
        self.said = self.next()[0]

    def next(self, number: int = 0) -> tuple[dict[str, Any], bytes]:
        """The next message on a socket. Raises EOFError at its end."""
        while not self._waiting[number]:
            data = self.sockets[number].recv(2**20)
            if not data:
                raise EOFError
            self._waiting[number] += self._unframers[number].feed(data)
        found: tuple[dict[str, Any], bytes] = self._waiting[number].pop(0)
        return found

    def send(self, rows: Sequence[bytes], number: int = 0, do: str = "predict") -> None:
        self.sockets[number].sendall(framed({"id": 0, "do": do}, packed_rows(rows)))

    def received(self, number: int = 0) -> tuple[dict[str, Any], list[Reply | None]]:
        header, payload = self.next(number)
        answers = parted(payload, header["rows"])
        return header, [reply_of(one) if str(row) not in header["failed"] else None for row, one in enumerate(answers)]

    def predict(self, *rows: bytes) -> tuple[dict[str, Any], list[Reply | None]]:
        """The header and the replies to some requests that travel together."""
        self.send(rows)
        return self.received()

    def ask(
        self, body: bytes = b"null", headers: Mapping[str, str] = JSON, query: str = "", method: str = "POST"
    ) -> Reply:
        """The reply to one request."""
        header, (reply,) = self.predict(request(body, headers, query, method))
        assert reply is not None, header["failed"]
        return reply

    def problem(self, body: bytes = b"null", headers: Mapping[str, str] = JSON, method: str = "POST") -> dict[str, Any]:
        """What went wrong with one request."""
        header, _ = self.predict(request(body, headers, "", method))
        found: dict[str, Any] = header["failed"]["0"]
        return found


def request(body: bytes = b"null", headers: Mapping[str, str] = JSON, query: str = "", method: str = "POST") -> bytes:
    pairs = {name.encode(): value.encode() for name, value in headers.items()}
    return packed(method, "/iris/predict", query.encode(), pairs, body, b"request-1")


class Running:
    """The process that forks replicas of one snapshot."""

    def __init__(self, folder: Path, command: Sequence[str] | None, environment: Mapping[str, str], log: Path) -> None:
        self.control, theirs = socket.socketpair()
        self.control.settimeout(TIMEOUT_S)
        with theirs, log.open("ab") as file:
            arguments = [*(command or command_of()), str(folder), str(theirs.fileno()), "", "0"]
            told = {**os.environ, VARIABLE: str(log), **environment}
            self.process = subprocess.Popen(
                arguments, pass_fds=[theirs.fileno()], env=told, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self._unframer = Unframer()
        self._news: list[dict[str, Any]] = []
        self.said = self.news()

    def news(self) -> dict[str, Any]:
        """The next thing that the process says of itself or its replicas."""
        while not self._news:
            data = self.control.recv(2**16)
            if not data:
                raise EOFError
            self._news += [header for header, _ in self._unframer.feed(data)]
        return self._news.pop(0)

    def forked(self, threads: int = 1) -> list[socket.socket]:
        """Our ends of the sockets of a new replica."""
        pairs = [socket.socketpair() for _ in range(threads)]
        socket.send_fds(self.control, [FORK], [theirs.fileno() for _, theirs in pairs])
        for ours, theirs in pairs:
            theirs.close()
            ours.settimeout(TIMEOUT_S)
        return [ours for ours, _ in pairs]

    @contextlib.contextmanager
    def replica(self, threads: int = 1) -> Iterator[Asked]:
        """A new replica that has said whether it is ready."""
        sockets = self.forked(threads)
        try:
            yield Asked(sockets)
        finally:
            for one in sockets:
                one.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.control.send(STOP)
        self.control.close()
        self.process.wait(timeout=TIMEOUT_S)


@contextlib.contextmanager
def running(
    project: Path, spec: Mapping[str, Any] | None = None, *, command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:  # fmt: skip
    """The processes of a project, as they are after a deploy."""
    folder = snapshot(project, project.parent / "snapshots", spec or spec_of())
    started = Running(folder, command, environment or {}, project.parent / "replicas.log")
    try:
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def answering(project: Path, spec: Mapping[str, Any] | None = None, **options: Any) -> Iterator[Asked]:
    """One replica of a project that is ready."""
    with running(project, spec, **options) as started, started.replica() as replica:
        assert replica.said["ready"] is True, replica.said
        yield replica


def not_ready(project: Path, spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a replica says that did not get ready."""
    with running(project, spec) as started, started.replica() as replica:
        assert replica.said["ready"] is False
        found: dict[str, Any] = replica.said["error"]
        return found


def logged(project: Path) -> list[str]:
    """What the replicas of a project printed, without the times and processes in front."""
    lines = (project.parent / "replicas.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.split(" ", 2)[-1] for line in lines]


def silent(connection: socket.socket, for_s: float = 0.1) -> bool:
    """True when nothing comes for a moment."""
    return not select.select([connection], [], [], for_s)[0]
