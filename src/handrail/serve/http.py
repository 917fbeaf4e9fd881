"""A client's connection: HTTP/1.1 on httptools' parser, with bounds on heads, bodies, time, and how many there are."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from typing import Any, Final
from urllib.parse import unquote

import httptools
import orjson

from handrail.serve import limits as bounds
from handrail.serve.exchange import JSON, Headers, Later, Request, Response
from handrail.serve.limits import GIVEN_ONCE, Refused
from handrail.serve.pouring import Pouring
from handrail.serve.shared import Shared, sweeping
from handrail.serve.wire import begun, written

__all__ = [
    "JSON",
    "LINGER_S",
    "REQUEST_ID",
    "Connection",
    "Headers",
    "Later",
    "Request",
    "Response",
    "Shared",
    "sweeping",
]
SLOWEST_BYTES_PER_S: Final = 100_000
LINGER_S: Final = 1.0
# One read of the event loop may bring the end of one request and the whole head of the next.
LARGEST_READ_BYTES: Final = 2**18
LARGEST_LINGER_BYTES: Final = 2**22
# The rest of a body that nobody reads: so much is passed over, and the connection goes on.
LARGEST_REST_BYTES: Final = 2**16
# What a status says of a request that was refused by its head.
REFUSED_FOR: Final = {401: "key", 403: "origin", 404: "path", 405: "method", 421: "host", 429: "rate"}
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


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
        self._streamed: Response | None = None
        self._stream: Pouring | None = None
        self._keep = True
        self._is_large = False
        self._large_held = 0
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
        if transport.get_extra_info("sslcontext") is None:
            # What is written goes out in that moment, not at the end of the loop's turn: the log can wait, clients not.
            transport.set_write_buffer_limits(high=0)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._shared.connections.add(self)
        if len(self._shared.connections) > self._limits.max_connections:
            self._refuse(bounds.too_many_connections(), lingers=False)

    def connection_lost(self, error: Exception | None) -> None:
        self._shared.connections.discard(self)
        self._ending = True
        self._whole.clear()
        self._release(self._large_held)
        if self._later is not None:
            self._later.future.cancel()  # nobody waits for it: the batcher does not start it
        if self._stream is not None:
            self._stream.cancel()

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
        except httptools.HttpParserError as error:
            # What a callback below raised is its context.
            self._refuse(error.__context__ if isinstance(error.__context__, Refused) else bounds.not_http())
            return
        if self._in_body:
            if self._request.refusal is not None and not self._told:
                self._answer_early()
        elif self._in_head:
            # What arrived of a head that is not whole yet is held by the parser, which has no bound of its own.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_head_bytes + LARGEST_READ_BYTES:
                self._refuse(bounds.head_too_large(self._limits))

    def pause_writing(self) -> None:
        self._stuck = time.monotonic()
        self._transport.pause_reading()
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        self._stuck = None
        if self._stream is not None:
            self._stream.resume()
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
            raise bounds.address_too_large(self._limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._headers and name in GIVEN_ONCE:
            self._twice = name
        self._headers[name] = value
        self._count += 1
        self._bytes += len(name) + len(value)
        if self._count > self._limits.max_headers or self._bytes > self._limits.max_head_bytes:
            raise bounds.head_too_large(self._limits)

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        self._in_head = False
        self._head_bytes = 0
        # An address with a host in it would be a second opinion on which host is asked.
        version = parser.get_http_version()
        if self._url[:1] != b"/" or version not in ("1.1", "1.0"):
            raise bounds.not_http("ask for a path, such as GET /")
        if self._twice:
            raise bounds.given_twice(self._twice)
        self._request = self._asked()
        if version == "1.0":
            self._request.reads_chunks = False
        self._admit(self._request)
        declared = headers.get(b"content-length", b"0")
        # Nine digits are more than any limit; int() of a long text of digits is slow.
        self._declared = int(declared) if declared.isdigit() and len(declared) <= 9 else 10**9
        self._in_body = True
        self._received = 0
        if self._request.refusal is not None:
            return
        if self._declared > self._limits.max_body_bytes:
            raise bounds.too_large(self._limits)
        if self._expects():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._request.refusal is not None:
            return  # it has its answer, whatever it says
        self._parts.append(body)
        if self._body_bytes > self._limits.max_body_bytes:
            raise bounds.too_large(self._limits)
        if self._body_bytes > self._limits.large_body_bytes and not self._reads_large:
            self._hold_large()  # what came counts, not what was announced: a promise takes nobody's place

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._told:
            return
        request, parts = self._request, self._parts
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        request.started = time.perf_counter()
        self._take(request, keep=self._stays())

    def _asked(self) -> Request:
        """What the head says, without a body yet."""
        path, _, query = self._url.partition(b"?")
        asked = self._headers.get(b"x-request-id")
        return Request(
            self._parser.get_method().decode("latin-1"),
            unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1"),
            query,
            self._headers,
            b"",
            self._client,
            asked if asked is not None and REQUEST_ID.fullmatch(asked) else self._shared.request_id(),
            time.perf_counter(),
        )

    def _admit(self, request: Request) -> None:
        """Asks whether its head is let in, once for each request: that may use up some of what its key may ask."""
        if self._shared.admit is not None:
            request.refusal = self._shared.admit(request)
            if request.refusal is not None and request.refusal.status in REFUSED_FOR:
                self._shared.refusals[REFUSED_FOR[request.refusal.status]] += 1

    def _answer_early(self) -> None:
        """Answers what its head refused while the body is still to come. A short rest is passed over; where it is long,
        of unknown length, or not sent before we say so, the connection ends instead."""
        self._told = True
        is_short = self._declared - self._body_bytes <= LARGEST_REST_BYTES
        chunked = b"transfer-encoding" in self._headers
        self._take(self._request, keep=is_short and not chunked and not self._expects() and self._stays())

    def _expects(self) -> bool:
        return self._headers.get(b"expect", b"").lower() == b"100-continue"

    def _stays(self) -> bool:
        return bool(self._parser.should_keep_alive() and not self._parser.should_upgrade())

    def _take(self, request: Request, *, keep: bool) -> None:
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
            answer = request.refusal if request.refusal is not None else self._shared.app(request)
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
            if response.pieces is not None:
                response.pieces.close()
            return
        self._respond(response)
        self._go_on()

    def _go_on(self) -> None:
        """After an answer that was not there at once: the next request, or more of what the client sends."""
        if self._whole:
            self._next()
        if self._paused and not self._whole and not self._ending and self._stuck is None:
            self._paused = False
            self._transport.resume_reading()

    def _respond(self, response: Response) -> None:
        request = self._current
        assert request is not None
        bare = request.method == "HEAD"
        if response.pieces is not None and not bare:
            self._keep = self._keep and request.reads_chunks
            self._transport.write(begun(response, request, self._shared.date, closes=self._closes()))
            self._streamed = response
            self._stream = Pouring(self._transport, response.pieces, self._poured, chunked=request.reads_chunks)
            return
        if response.pieces is not None:
            response.pieces.close()
        self._transport.write(written(response, request.id, self._shared.date, closes=self._closes(), bare=bare))
        self._is_over(request, response)

    def _closes(self) -> bool:
        return not self._keep or (not self._whole and (self._broken or self._shared.draining))

    def _is_over(self, request: Request, response: Response) -> None:
        closes = self._closes()
        self._current = None
        self._answers += 1
        self._release(self._is_large)
        self._since = time.monotonic()
        self._shared.app.answered(request, response)
        if closes:
            self._end(lingers=self._in_body or self._in_head or self._broken)

    def _poured(self, sent: int, *, whole: bool) -> None:
        """A streamed answer is over; where it is not `whole`, so is the connection."""
        request, response = self._current, self._streamed
        assert request is not None
        assert response is not None
        self._stream = self._streamed = None
        response = response._replace(streamed_bytes=sent)
        if whole and not self._ending:
            self._is_over(request, response)
            self._go_on()
        else:
            self._current = None
            self._shared.app.answered(request, response)
            self._transport.abort()  # an answer that just ended would look whole

    def _refuse(self, refused: Refused, *, lingers: bool = True) -> None:
        """Answers what is no request, or one that is not read to its end, and closes."""
        self._shared.refusals[refused.reason] += 1
        if self._current is not None or self._whole:
            self._broken = True  # answers to whole requests before it are due first, and are the last
            return
        request_id = self._shared.request_id()
        body = orjson.dumps(refused.error.as_dict(request_id.decode()))
        response = Response(body, status=refused.status, headers=refused.headers)
        self._transport.write(written(response, request_id, self._shared.date, closes=True))
        self._end(lingers=lingers)

    def _end(self, *, lingers: bool) -> None:
        """No more answers. `lingers`: what the client still sends is thrown away for a moment; closing at once, with
        unread bytes there, would make the kernel take back what we wrote."""
        self._ending = True
        self._whole.clear()
        self._release(self._large_held)
        self._received = 0
        self._since = time.monotonic()
        if not lingers:
            self._transport.close()
            return
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # Time.

    def sweep(self, now: float) -> None:
        """Ends what takes too long: a head, a body, a client that does not read its answer, or one that idles."""
        if self._stuck is not None and now - self._stuck > self._limits.write_timeout_s:
            self._shared.refusals["unread"] += 1
            self._transport.abort()
        elif self._ending:
            if now - self._since > LINGER_S:
                self._transport.close()
        elif self._current is None:
            waited_s = now - self._since
            if self._in_body:
                if waited_s > self._limits.body_timeout_s + self._received / SLOWEST_BYTES_PER_S:
                    self._end(lingers=False) if self._told else self._refuse(bounds.too_slow("body"))
            elif self._head_bytes:
                if waited_s > self._limits.head_timeout_s:
                    self._refuse(bounds.too_slow("head"))
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
        self._told = False

    def _hold_large(self) -> None:
        """Only some large bodies are held at a time, so that memory has a bound."""
        if self._shared.large_bodies >= self._limits.max_large_bodies:
            raise bounds.too_many_large_bodies()
        self._shared.large_bodies += 1
        self._large_held += 1
        self._reads_large = True

    def _release(self, large: int) -> None:
        self._large_held -= large
        self._shared.large_bodies -= large
