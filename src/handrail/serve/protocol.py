"""A client's connection: uvicorn's HTTP/1.1 protocol with bounds on heads, on time and on how many there are."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from handrail.core.errors import HandrailError
from handrail.serve.limits import Limits

SLOWEST_BYTES_PER_S: Final = 100_000
SWEEP_S: Final = 0.25


class _Refusal(Exception):  # noqa: N818 - it ends the parser's callback, nothing else
    pass


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn waits for a request's head and body for ever and reads heads of any size; this does neither.

    `_since` is when the head or body that we are waiting for began; None while the next move is ours.
    """

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since: float | None = time.monotonic()
        self._stuck: float | None = None
        self._received = 0
        self._head_bytes = 0
        self._refusal: tuple[int, HandrailError] | None = None
        if len(self.connections) > self.limits.max_connections:
            mend = "try again in a moment"
            self._refuse(503, HandrailError("overloaded", "too many connections", mend), b"retry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._received += len(data)
        super().data_received(data)
        if self._since is None and (self.cycle is None or self.cycle.response_complete):
            self._since = time.monotonic()
        if self._since is not None and (self.cycle is None or not self.cycle.more_body):
            # What arrived of a head that is not whole yet is held by the parser, which has no bound of its own.
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes + 2**18 and not self.transport.is_closing():
                self._refuse(431, HandrailError("too_large", "the request's head is too large", "send less"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = time.monotonic()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.max_url_bytes:
            problem = f"an address may have {self.limits.max_url_bytes:,} bytes"
            self._refuse_head(414, HandrailError("too_large", problem, "send rows in the body"))

    def on_headers_complete(self) -> None:
        headers, limits = self.headers, self.limits
        if len(headers) > limits.max_headers or sum(map(_size, headers)) > limits.max_head_bytes:
            problem = f"at most {limits.max_headers} headers of {limits.max_head_bytes:,} bytes together"
            self._refuse_head(431, HandrailError("too_large", problem, "send fewer headers"))
        if not self.url.startswith(b"/") or self.parser.get_http_version() not in ("1.0", "1.1"):
            # An address with a host in it would be a second opinion on which host is asked.
            self._refuse_head(400, HandrailError("usage", "this is no valid HTTP/1.1", "ask for a path, such as GET /"))
        self.scope["handrail.gone"] = self.transport.is_closing  # type: ignore[typeddict-unknown-key]
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._since = None
        self._received = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = time.monotonic()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in our one shape, and the connection is closed."""
        status, error = self._refusal or (
            400,
            HandrailError("usage", "this is no valid HTTP/1.1", "use an HTTP client"),
        )
        self._refuse(status, error)

    def sweep(self, now: float) -> None:
        """Ends what takes too long: a head, a body, or a client that does not read its answer."""
        if self._stuck is not None and now - self._stuck > self.limits.write_timeout_s:
            self.transport.abort()
        if self._since is None or self.transport.is_closing():
            return
        in_body = self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete
        is_answering = self.cycle is not None and not self.cycle.response_complete and not in_body
        if is_answering or self.pipeline:
            return  # the rest of a next request may wait until the answers before it are written
        allowed_s = self.limits.head_timeout_s
        if in_body:
            allowed_s = self.limits.body_timeout_s + self._received / SLOWEST_BYTES_PER_S
        if now - self._since > allowed_s:
            started = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
            if started or (self._received == 0 and not in_body):
                self.transport.close()
            else:
                self._refuse(408, HandrailError("timeout", "the request did not arrive in time", "send it faster"))

    def _refuse_head(self, status: int, error: HandrailError) -> None:
        self._refusal = (status, error)
        raise _Refusal

    def _refuse(self, status: int, error: HandrailError, headers: bytes = b"") -> None:
        body = orjson.dumps(error.as_dict())
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + headers + b"\r\n" + body)
        self.transport.close()


def _size(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1])


async def sweeping(connections: set[Any]) -> None:
    """Looks after all connections, twice a second: one timer, not one for each request."""
    while True:
        await asyncio.sleep(SWEEP_S)
        now = time.monotonic()
        for connection in list(connections):
            connection.sweep(now)


def bounded(limits: Limits) -> type[BoundedProtocol]:
    """The protocol with these limits, as uvicorn wants it: a class."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits})
