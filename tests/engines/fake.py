"""A stand-in for the engine: speaks the control protocol and says what a test wants it to say."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from handrail.engines.local.place import Place

# A request to what is sent back: messages, or bytes as they are.
Answers = Callable[[Mapping[str, Any]], list[Any]]


class FakeEngine:
    """Keeps the requests that came."""

    def __init__(self, place: Place, answers: Answers) -> None:
        self.requests: list[dict[str, Any]] = []
        self._answers = answers
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place.control.unlink(missing_ok=True)
        self._listening.bind(str(place.control))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def asked(self, do: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["do"] == do]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(ConnectionError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            request = json.loads(lines.readline())
            self.requests.append(request)
            for message in self._answers(request):
                connection.sendall(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")


@contextlib.contextmanager
def engine_saying(home: Path, answers: Answers) -> Iterator[FakeEngine]:
    """A stand-in at the control socket of a home."""
    place = Place(home)
    engine = FakeEngine(place, answers)
    try:
        yield engine
    finally:
        engine.close()
        place.control.unlink(missing_ok=True)


def standing(name: str = "reviews", **changes: Any) -> dict[str, Any]:
    """How an API stands, as the engine says it."""
    version = {
        "version": "3", "role": "current", "weight": 100.0, "ready": 1, "wanted": 1, "in_flight": 0, "waiting": 0,
        "memory_bytes": 38_600_000, "restarts": 0, "last_failure": None,
    }  # fmt: skip
    return {
        "name": name, "kind": "RealtimeAPI", "state": "live", "revision": 3,
        "url": f"http://127.0.0.1:8080/{name}/predict", "versions": [version], "ready": 1, "wanted": 1, "in_flight": 0,
        "latency_ms": {"p50": 0.42, "p90": 1.5, "p99": 12.25}, "codes": {"2xx": 1234, "4xx": 5, "5xx": 0},
        "last_error": None, "why_not_ready": None, "updated": 1_795_579_260.0, **changes,
    }  # fmt: skip
