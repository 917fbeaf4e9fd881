"""The access log: one line of JSON for each answer, written beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import threading
import time
from functools import lru_cache
from queue import SimpleQueue
from typing import Final

import orjson

from handrail.core.errors import printable
from handrail.serve.http import Request, Response
from handrail.serve.keys import redacted
from handrail.serve.limits import trace_id_of

FLUSH_S: Final = 0.1
MOST_HELD_BYTES: Final = 2**22
LAST_LINES_S: Final = 1.0
UNPRINTED: Final = re.compile(r"[^\x20-\x7e]")


def line_of(request: Request, response: Response) -> bytes:
    """One line of JSON. A path is what a stranger chose, so what is not plain in it is escaped, and it is cut."""
    path = request.path
    if not path.isascii() or not path.isprintable() or len(path) > 500:
        path = UNPRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), printable(path[:500]))
    line = {
        "at": _second(int(time.time())),
        "client": request.client,
        "method": request.method,
        "path": path,
        "status": response.status,
        "bytes": response.size,
        "took_ms": round((time.perf_counter() - request.started) * 1000, 3),
        "request_id": request.id.decode(),
    }
    if trace_id := trace_id_of(request.headers):
        line["trace_id"] = trace_id
    return redacted(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


@lru_cache(2)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


class Lines:
    """Where lines go: they are gathered, and written ten times a second by a thread of their own, so that a reader who
    is slow holds up no answer. What does not fit meanwhile is left out, and counted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[bytes] = []
        self._bytes = 0
        self._left_out = 0
        self._handed: SimpleQueue[bytes] = SimpleQueue()
        self._written = threading.Event()
        self._written.set()
        # A daemon: a pipe that nobody reads does not keep the process from ending.
        threading.Thread(target=self._write, name="access-log", daemon=True).start()

    def __call__(self, line: bytes) -> None:
        if self._bytes > MOST_HELD_BYTES:
            self._left_out += 1
            return
        if not self._held:
            self._loop.call_later(FLUSH_S, self.flush)
        self._held.append(line)
        self._bytes += len(line)

    def flush(self) -> None:
        """Has what is held written; where the lines before are not written yet, a little later."""
        if not self._written.is_set():
            self._loop.call_later(FLUSH_S, self.flush)
            return
        if self._left_out:
            self._held.append(b'{"left_out":%d}\n' % self._left_out)
        content, self._held, self._bytes, self._left_out = b"".join(self._held), [], 0, 0
        self._written.clear()
        self._handed.put(content)

    def close(self) -> None:
        """Waits a moment for what is not written yet."""
        if self._written.wait(LAST_LINES_S):
            self.flush()
            self._written.wait(LAST_LINES_S)

    def _write(self) -> None:
        while True:
            _to_stderr(self._handed.get())
            self._written.set()


def _to_stderr(content: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.buffer.write(content)
        sys.stderr.buffer.flush()
