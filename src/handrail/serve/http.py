"""A client's connection: HTTP/1.1 on httptools' parser, with bounds on heads, bodies, time, and how many there are."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote

import httptools
import orjson

from handrail.core.errors import HandrailError
from handrail.serve.limits import GIVEN_ONCE, Limits, Refused, no_room, too_large

Headers = Mapping[bytes, bytes]
Pairs = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"
SLOWEST_BYTES_PER_S: Final = 100_000
SWEEP_S: Final = 0.25
LINGER_S: Final = 1.0
# One read of the event loop may bring the end of one request and the whole head of the next.
LARGEST_READ_BYTES: Final = 2**18
LARGEST_LINGER_BYTES: Final = 2**22
REASONS: Final = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Request:
    """One request, whole. `id` is what the client chose in `X-Request-Id` when that is plain, else ours."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    client: str
    id: bytes
    started: float

    @property
    def wants_html(self) -> bool:
        return b"text/html" in self.headers.get(b"accept", b"")


class Response(NamedTuple):
    """What is answered."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Pairs = ()


class Later(NamedTuple):
    """An answer that is not there yet: `finish` makes the response of the future when that is done."""

    future: asyncio.Future[Any]
    finish: Callable[[asyncio.Future[Any]], Response]


class Application(Protocol):
    """What a connection asks. Neither method raises."""

    def __call__(self, request: Request) -> Response | Later: ...
    def answered(self, request: Request, response: Response) -> None: ...


@dataclass
class Shared:
    """What the connections of one gateway share."""

    app: Application
    limits: Limits
    request_id: Callable[[], bytes]
    connections: set[Connection] = field(default_factory=set)
    large_bodies: int = 0
    draining: bool = False
    # The header `date`, made anew by the sweep instead of for each answer.
    date: bytes = field(default_factory=lambda: formatdate(usegmt=True).encode())


class _Refusal(Exception):  # noqa: N818 - it ends the parser's callback, nothing else
    pass


class Connection(asyncio.Protocol):
    """One client. Requests are answered in the order in which they came; one is in the application at a time."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._parser = httptools.HttpRequestParser(self)
        # A client may say "connection: close" and still have sent more: that is passed over, not an error.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._whole: deque[tuple[Request, bool, bool]] = deque()
        self._current: Request | None = None
        self._later: Later | None = None
        self._keep = True
        self._is_large = False
        self._large_held = 0
        self._refusal: Refused | None = None
        self._broken = False
        self._paused = False
        self._ending = False
        self._answers = 0
        self._received = 0
        self._head_bytes = 0
        self._in_head = False
        self._in_body = False
        self._since = time.monotonic()
        self._stuck: float | None = None
        self._clear()

    # The transport's side.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._shared.connections.add(self)
        if len(self._shared.connections) > self._limits.max_connections:
            self._refuse(no_room("too many connections"))

    def connection_lost(self, error: Exception | None) -> None:
        self._shared.connections.discard(self)
        self._ending = True
        self._whole.clear()
        self._release(self._large_held)
        if self._later is not None:
            self._later.future.cancel()  # nobody waits for it: the batcher does not start it

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._ending or self._broken:
            if self._received > LARGEST_LINGER_BYTES:
                self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # the request itself was taken; what follows it would be a protocol that is not spoken here
        except httptools.HttpParserError:
            self._refuse(self._refusal or _not_http())
            return
        if self._in_head:
            # What arrived of a head that is not whole yet is held by the parser, which has no bound of its own.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_head_bytes + LARGEST_READ_BYTES:
                self._refuse(_head_too_large(self._limits))

    def pause_writing(self) -> None:
        self._stuck = time.monotonic()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck = None
        self._next()
        self._paused = bool(self._whole)
        if not self._paused:
            self._transport.resume_reading()

    # The parser's side.

    def on_message_begin(self) -> None:
        self._clear()
        self._in_head = True
        self._since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.max_url_bytes:
            problem = f"an address may have {self._limits.max_url_bytes:,} bytes"
            self._stop(Refused(414, HandrailError("too_large", problem, "send rows in the body")))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._headers and name in GIVEN_ONCE:
            self._twice = name
        self._headers[name] = value
        self._count += 1
        self._bytes += len(name) + len(value)
        if self._count > self._limits.max_headers or self._bytes > self._limits.max_head_bytes:
            self._stop(_head_too_large(self._limits))

    def on_headers_complete(self) -> None:
        parser, headers, limits = self._parser, self._headers, self._limits
        self._in_head = False
        self._head_bytes = 0
        # An address with a host in it would be a second opinion on which host is asked.
        if self._url[:1] != b"/" or parser.get_http_version() not in ("1.1", "1.0"):
            self._stop(_not_http("ask for a path, such as GET /"))
        if self._twice:
            problem = f"the header '{self._twice.decode()}' is given twice"
            self._stop(Refused(400, HandrailError("usage", problem, "give it once")))
        declared = headers.get(b"content-length", b"0")
        # Nine digits are more than any limit; int() of a long text of digits is slow.
        if not declared.isdigit() or len(declared) > 9 or int(declared) > limits.max_body_bytes:
            self._stop(too_large(limits))
        self._in_body = True
        self._received = 0
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.max_body_bytes:
            self._stop(too_large(self._limits))
        if self._body_bytes > self._limits.large_body_bytes and not self._reads_large:
            self._hold_large()  # what came counts, not what was announced: a promise takes nobody's place

    def on_message_complete(self) -> None:
        parser, parts = self._parser, self._parts
        self._in_body = False
        path, _, query = self._url.partition(b"?")
        asked = self._headers.get(b"x-request-id")
        request = Request(
            parser.get_method().decode("latin-1"),
            unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1"),
            query,
            self._headers,
            parts[0] if len(parts) == 1 else b"".join(parts),
            self._client,
            asked if asked is not None and REQUEST_ID.fullmatch(asked) else self._shared.request_id(),
            time.perf_counter(),
        )
        keep = parser.should_keep_alive() and not parser.should_upgrade()
        self._whole.append((request, keep, self._reads_large))
        if self._current is None and self._stuck is None:
            self._next()
        else:
            # It waits for the one before; a client that sends ahead without end waits as well.
            self._paused = True
            self._transport.pause_reading()

    # Answering.

    def _next(self) -> None:
        """Gives the next whole request to the application, and the one after it when that was answered at once."""
        while self._whole and self._current is None and self._stuck is None and not self._ending:
            self._current, self._keep, self._is_large = self._whole.popleft()
            request = self._current
            answer = self._shared.app(request)
            if type(answer) is Later:
                self._later = answer
                answer.future.add_done_callback(self._finished)
                return
            self._respond(answer)  # type: ignore[arg-type]

    def _finished(self, future: asyncio.Future[Any]) -> None:
        assert self._later is not None
        response = self._later.finish(future)
        self._later = None
        if self._ending or self._current is None:
            return
        self._respond(response)
        if self._whole:
            self._next()
        if self._paused and not self._whole and not self._ending and self._stuck is None:
            self._paused = False
            self._transport.resume_reading()

    def _respond(self, response: Response) -> None:
        request = self._current
        assert request is not None
        self._current = None
        self._answers += 1
        closes = not self._keep or (not self._whole and (self._broken or self._shared.draining))
        self._transport.write(_written(response, request, self._shared.date, closes=closes))
        self._release(self._is_large)
        self._since = time.monotonic()
        self._shared.app.answered(request, response)
        if closes:
            self._end()

    def _refuse(self, refused: Refused) -> None:
        """Answers what is no request, or one that is not read to its end, and closes."""
        if self._current is not None or self._whole:
            self._broken = True  # answers to whole requests before it are due first, and are the last
            return
        request_id = self._shared.request_id()
        body = orjson.dumps(refused.error.as_dict(request_id.decode()))
        headers = ((b"x-request-id", request_id), *refused.headers, (b"connection", b"close"))
        head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        start = b"%scontent-type: %s\r\ncontent-length: %d\r\n" % (REASONS[refused.status], JSON, len(body))
        self._transport.write(start + head + b"\r\n" + body)
        self._end()

    def _end(self) -> None:
        """No more answers. What the client still sends is thrown away for a moment: closing at once, with unread
        bytes there, would make the kernel take back what we wrote."""
        self._ending = True
        self._whole.clear()
        self._release(self._large_held)
        self._received = 0
        self._since = time.monotonic()
        if self._in_body or self._in_head or self._refusal is not None:
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()
        else:
            self._transport.close()

    def _stop(self, refused: Refused) -> None:
        self._refusal = refused
        raise _Refusal

    # Time.

    def sweep(self, now: float) -> None:
        """Ends what takes too long: a head, a body, a client that does not read its answer, or one that idles."""
        if self._stuck is not None and now - self._stuck > self._limits.write_timeout_s:
            self._transport.abort()
        elif self._ending:
            if now - self._since > LINGER_S:
                self._transport.close()
        elif self._current is None:
            waited_s = now - self._since
            if self._in_body:
                if waited_s > self._limits.body_timeout_s + self._received / SLOWEST_BYTES_PER_S:
                    self._refuse(_too_slow())
            elif self._head_bytes:
                if waited_s > self._limits.head_timeout_s:
                    self._refuse(_too_slow())
            elif waited_s > self._idle_s():
                self._ending = True
                self._transport.close()

    def _idle_s(self) -> float:
        if self._shared.draining:
            return LINGER_S
        return self._limits.keep_alive_s if self._answers else self._limits.head_timeout_s

    def _clear(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._twice = b""
        self._count = 0
        self._bytes = 0
        self._parts: list[bytes] = []
        self._body_bytes = 0
        self._reads_large = False

    def _hold_large(self) -> None:
        """Only some large bodies are held at a time, so that memory has a bound."""
        if self._shared.large_bodies >= self._limits.max_large_bodies:
            self._stop(no_room("too many large bodies at a time", "try again, or send fewer rows"))
        self._shared.large_bodies += 1
        self._large_held += 1
        self._reads_large = True

    def _release(self, large: int) -> None:
        self._large_held -= large
        self._shared.large_bodies -= large


def _written(response: Response, request: Request, date: bytes, *, closes: bool) -> bytes:
    body = response.body
    more = b"".join(b"%s: %s\r\n" % pair for pair in response.headers) if response.headers else b""
    if closes:
        more += b"connection: close\r\n"
    return (
        b"%scontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\ndate: %s\r\n"
        b"x-content-type-options: nosniff\r\n%s\r\n%s"
    ) % (
        REASONS[response.status],
        response.content_type,
        len(body),
        request.id,
        date,
        more,
        b"" if request.method == "HEAD" else body,
    )


def _not_http(mend: str = "use an HTTP client") -> Refused:
    return Refused(400, HandrailError("usage", "this is no valid HTTP/1.1", mend))


def _too_slow() -> Refused:
    return Refused(408, HandrailError("timeout", "the request did not arrive in time", "send it faster"))


def _head_too_large(limits: Limits) -> Refused:
    problem = f"at most {limits.max_headers} headers of {limits.max_head_bytes:,} bytes together"
    return Refused(431, HandrailError("too_large", problem, "send fewer headers"))


async def sweeping(shared: Shared) -> None:
    """Looks after all connections, four times a second: one timer, not one for each request."""
    while True:
        await asyncio.sleep(SWEEP_S)
        now = time.monotonic()
        shared.date = formatdate(usegmt=True).encode()
        for connection in list(shared.connections):
            connection.sweep(now)
