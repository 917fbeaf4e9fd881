"""What is let in: sizes, hosts, origins, headers; all of it refused with one shape of error."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from handrail.core.errors import HandrailError

Headers = Mapping[bytes, bytes]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
# A header given twice would let two readers of one request see two requests.
GIVEN_ONCE: Final = (b"host", b"content-type", b"content-length", b"content-encoding", b"authorization", b"origin")
HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?")
REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
MAX_JSON_DEPTH: Final = 64


@dataclass(frozen=True)
class Limits:
    """Every bound of the gateway, in one place."""

    max_body_bytes: int = 32 * 2**20
    max_rows: int = 10_000
    large_body_bytes: int = 256 * 2**10
    max_large_bodies: int = 16
    max_head_bytes: int = 16 * 2**10
    max_headers: int = 100
    max_url_bytes: int = 8 * 2**10
    max_connections: int = 1_000
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 60.0
    answer_timeout_s: float = 30.0
    write_timeout_s: float = 60.0
    hosts: frozenset[bytes] = field(default=frozenset({b"localhost", b"127.0.0.1", b"[::1]"}))


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure
    """An error with an HTTP status, or headers, of its own."""

    def __init__(self, status: int, error: HandrailError, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(error.problem)
        self.status = status
        self.error = error
        self.headers = headers


class GoneError(Exception):
    """The client left before its request was whole."""


def checked_headers(pairs: list[tuple[bytes, bytes]]) -> Headers:
    """The headers by name. Raises Refused when one is given twice that must not be."""
    headers = dict(pairs)
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        for name in GIVEN_ONCE:
            if names.count(name) > 1:
                raise Refused(
                    400, HandrailError("usage", f"the header '{name.decode()}' is given twice", "give it once")
                )
    return headers


def check_host(headers: Headers, limits: Limits) -> None:
    """Raises Refused (421) for a host that is not ours: a page of another site whose name points here."""
    host = headers.get(b"host", b"")
    found = HOST.fullmatch(host)
    if found is None or found[1].lower() not in limits.hosts:
        raise Refused(
            421, HandrailError("forbidden", "this host is not served here", "ask for http://127.0.0.1 or localhost")
        )


def check_origin(headers: Headers, method: str) -> None:
    """Raises Refused (403) for what a page of another site asks for. Following a link to us is let through."""
    site = headers.get(b"sec-fetch-site")
    if site is not None and site not in (b"same-origin", b"same-site", b"none"):
        navigates = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
        if method != "GET" or not navigates:
            raise _foreign_page()
    origin = headers.get(b"origin")
    if origin is not None and origin.split(b"://", 1)[-1] != headers.get(b"host"):
        raise _foreign_page()


def _foreign_page() -> Refused:
    return Refused(403, HandrailError("forbidden", "pages of other sites may not ask here", "call it from a program"))


async def read_body(receive: Receive, headers: Headers, limits: Limits) -> bytes:
    """The whole body, never more than the limit in memory. Raises Refused, or GoneError when the client left."""
    _check_encoding(headers)
    declared = headers.get(b"content-length", b"0")
    # Nine digits are more than any limit; int() of a long text of digits is slow.
    if not declared.isdigit() or len(declared) > 9 or int(declared) > limits.max_body_bytes:
        raise _too_large(limits)
    message = await receive()
    if message["type"] != "http.request":
        raise GoneError
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limits.max_body_bytes:
            raise _too_large(limits)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        if size > limits.max_body_bytes:
            raise _too_large(limits)
        message = await receive()
        if message["type"] != "http.request":
            raise GoneError
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
    if size > limits.max_body_bytes:
        raise _too_large(limits)
    return b"".join(parts)


def is_large(headers: Headers, limits: Limits) -> bool:
    """True for a body whose length is large or not told: only some of those are held at a time."""
    declared = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not declared.isdigit() or len(declared) > 9:
        return True
    return int(declared) > limits.large_body_bytes


def _check_encoding(headers: Headers) -> None:
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.lower() != b"identity":
        problem = "compressed bodies are not read"
        raise HandrailError("media_type", problem, "send it plain, without content-encoding")


def _too_large(limits: Limits) -> Refused:
    problem = f"a body may have {limits.max_body_bytes:,} bytes"
    mend = "send fewer rows at a time, or use handrail predict NAME FILE"
    # Closing at once is what keeps the rest of it from being read.
    return Refused(413, HandrailError("too_large", problem, mend), (b"connection", b"close"))


def timeout_of(headers: Headers, limits: Limits) -> float:
    """How long this client waits, in seconds: `X-Deadline-Ms`, never more than our own limit."""
    asked = headers.get(b"x-deadline-ms")
    if asked is None:
        return limits.answer_timeout_s
    if not asked.isdigit() or len(asked) > 15 or int(asked) == 0:
        raise HandrailError("usage", "x-deadline-ms is not a number of milliseconds", "send one such as 2000")
    return min(int(asked) / 1000, limits.answer_timeout_s)


def is_deeper(value: Any, limit: int) -> bool:
    """True when lists and objects are nested deeper than `limit`."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
