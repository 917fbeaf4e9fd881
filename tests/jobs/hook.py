"""A webhook on the loopback that remembers what it was told."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """`told` are bodies and headers in order; `statuses` are answered one after the other, then 200."""

    def __init__(self, statuses: Sequence[int], location: str) -> None:
        self.told: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.came = threading.Event()
        left = list(statuses)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.told.append((json.loads(body), {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(left.pop(0) if left else 200)
                self.send_header("location", location)
                self.send_header("content-length", "0")
                self.end_headers()
                hook.came.set()

            def log_message(self, *anything: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/done?x=1"


@contextlib.contextmanager
def hooked(*statuses: int, location: str = "/") -> Iterator[Hook]:
    """A webhook while the block runs."""
    hook = Hook(statuses, location)
    thread = threading.Thread(target=hook.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        hook.server.server_close()
        thread.join()
