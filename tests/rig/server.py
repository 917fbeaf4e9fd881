"""A server in a process of its own, seen from outside: its address, its replicas, its metrics, what it wrote."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HANGING = [sys.executable, "-P", str(HERE / "hanging_replica.py")]
LEAKING = [sys.executable, "-P", str(HERE / "leaking_replica.py")]
START = """
import json, sys
from pathlib import Path
from handrail.serve import serve
options = json.loads(sys.argv[2])
model = Path(sys.argv[1]) if "/" in sys.argv[1] else sys.argv[1]
serve([model], port=0, ready=lambda address: print(address, flush=True), **options)
"""


class Server:
    """A gateway and what came from it. `before_s`: from the start of its process until it was ready."""

    def __init__(self, process: subprocess.Popen[str], port: int, written: Path, before_s: float) -> None:
        self.process = process
        self.pid = process.pid
        self.port = port
        self.before_s = before_s
        self._written = written
        self._holders: set[int] = set()
        self._seen: set[int] = set()
        self.replicas()

    def family(self) -> list[int]:
        """The gateway and all that came from it."""
        return family(self.pid)

    def replicas(self) -> list[int]:
        """The processes that answer. One that holds the model and forks others is none of them.

        When a holder is killed, its replicas are nobody's children any more and go on: what was seen once is known.
        """
        named = {pid: parent for pid, parent in parents(self.pid).items() if is_replica(pid)}
        self._holders |= set(named.values()) & set(named)
        self._seen = {pid for pid in self._seen | set(named) if is_up(pid) and is_replica(pid)}
        return sorted(self._seen - self._holders)

    def holders(self) -> list[int]:
        """The processes that hold a model and fork its replicas."""
        return sorted(pid for pid in self._holders if is_up(pid) and is_replica(pid))

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over its series that have these labels."""
        return summed(self.get("/metrics")[1].decode(), f"handrail_{name}", labels)

    def written(self) -> str:
        """What the server and its replicas wrote to stderr: the last of it."""
        return self._written.read_bytes()[-10_000:].decode(errors="replace")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Sends a signal and gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=timeout_s)


@contextlib.contextmanager
def started(model: Path | str, *, home: Path | None = None, **options: Any) -> Iterator[Server]:
    """A server of one bundle, or of a name in the store at `home`, given when it is ready; gone at the end."""
    arguments = [sys.executable, "-c", START, str(model), json.dumps({"adoptable_s": 0, **options})]
    environment = {**os.environ, **({} if home is None else {"HANDRAIL_HOME": str(home)})}
    with tempfile.NamedTemporaryFile() as written:
        begun = time.perf_counter()
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=written, text=True, env=environment) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline()
                if not address:
                    raise RuntimeError(Path(written.name).read_text(encoding="utf-8"))
                port = int(address.rsplit(":", 1)[1])
                yield Server(process, port, Path(written.name), time.perf_counter() - begun)
            finally:
                _ended(process)


def _ended(process: subprocess.Popen[str]) -> None:
    left = family(process.pid)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
    for pid in filter(is_replica, left):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def parents(root: int) -> dict[int, int]:
    """Every process that came from `root`, with its parent. Ended ones that nobody asked about yet are left out."""
    found: dict[int, int] = {}
    waiting = [root]
    for parent in waiting:
        for child in _children(parent):
            if child not in found and is_up(child):
                found[child] = parent
                waiting.append(child)
    return found


def family(root: int) -> list[int]:
    """A process and all that came from it."""
    return [root, *parents(root)]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def is_up(pid: int) -> bool:
    """True while a process is there and not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    return False


def is_replica(pid: int) -> bool:
    """By its command line: our module, or a file that is called …_replica.py."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"handrail.serve.replica" in words or any(word.endswith(b"_replica.py") for word in words)
    return False


def summed(text: str, name: str, labels: dict[str, str] | None = None) -> float:
    """The sum of a metric's series in Prometheus text."""
    wanted = [f'{key}="{value}"' for key, value in (labels or {}).items()]
    series = re.findall(rf"^{re.escape(name)}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for found, value in series if all(label in found.split(",") for label in wanted))


def until(condition: Callable[[], bool], timeout_s: float = 10.0, every_s: float = 0.01) -> float:
    """Waits for something that another process does; gives how long that took. Raises TimeoutError."""
    begun = time.perf_counter()
    while not condition():
        if time.perf_counter() - begun > timeout_s:
            raise TimeoutError("it did not happen in time")
        time.sleep(every_s)
    return time.perf_counter() - begun
