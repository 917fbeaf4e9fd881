"""One keep-alive connection of a client: a request goes out, and its whole answer comes back, or why it did not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass


class Lost(Exception):  # noqa: N818 - it is an outcome to count
    """No whole answer came; `reason` is "unreachable", "reset", "end", "time" or "garbled"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """One response. Names of headers are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def closes(self) -> bool:
        """True when the server says that it answers nothing more on this connection."""
        return self.headers.get(b"connection", b"").lower() == b"close"


class Wire(asyncio.Protocol):
    """A connection with one request at a time. `ended` says why it is of no use any more."""

    def __init__(self) -> None:
        self.answers = 0
        # How long it had waited for its latest request.
        self.idled_s = 0.0
        self._since = time.monotonic()
        self.ended: str | None = None
        self._held = b""
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    async def ask(self, raw: bytes, timeout_s: float) -> Answer:
        """The answer to one request, as bytes. Raises Lost."""
        self.idled_s = time.monotonic() - self._since
        if self.ended is not None:
            raise Lost(self.ended)
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        late = loop.call_later(timeout_s, self._lose, "time")
        try:
            self._transport.write(raw)
            return await self._waiting
        finally:
            late.cancel()
            self._waiting = None

    def close(self) -> None:
        """Goes away at once, whether an answer is due or not."""
        self._lose("left")
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._held += data
        try:
            found = parsed(self._held)
        except ValueError:
            self._lose("garbled")
            self._transport.abort()
            return
        if found is not None and self._waiting is not None and not self._waiting.done():
            answer, self._held = found
            self.answers += 1
            self._since = time.monotonic()
            self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._lose("end" if error is None else "reset")

    def _lose(self, reason: str) -> None:
        self.ended = self.ended or reason
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Lost(reason))


async def connected(port: int, timeout_s: float = 10.0) -> Wire:
    """A new connection to this machine. Raises Lost ("unreachable")."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            _, wire = await loop.create_connection(Wire, "127.0.0.1", port)
    except OSError:  # TimeoutError is one
        raise Lost("unreachable") from None
    return wire


def parsed(held: bytes) -> tuple[Answer, bytes] | None:
    """The first whole answer in some bytes and what follows it. Raises ValueError for what is no answer."""
    head, found, rest = held.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.split(b"\r\n")
    version, status, *_ = first.split(b" ")
    if version != b"HTTP/1.1":
        raise ValueError(version)
    pairs = [line.split(b": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    length = int(headers[b"content-length"]) if b"content-length" in headers else _no_length()
    return (Answer(int(status), headers, rest[:length]), rest[length:]) if len(rest) >= length else None


def _no_length() -> int:
    raise ValueError("an answer without a length")
