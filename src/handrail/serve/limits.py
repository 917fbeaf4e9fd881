"""What is let in: sizes, hosts, origins, headers; all of it refused with one shape of error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from handrail.core.errors import HandrailError, clipped

Headers = Mapping[bytes, bytes]
# A header given twice would let two readers of one request see two requests.
GIVEN_ONCE: Final = (b"host", b"content-type", b"content-length", b"content-encoding", b"authorization", b"origin")
HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?")
# Version ff is none, and neither is an id of zeros; a version after 00 may have more to say.
TRACEPARENT: Final = re.compile(
    rb"(?!ff|00.{53}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?"
)
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
    body_timeout_s: float = 10.0
    keep_alive_s: float = 60.0
    answer_timeout_s: float = 30.0
    write_timeout_s: float = 60.0
    hosts: frozenset[bytes] = field(default=frozenset({b"localhost", b"127.0.0.1", b"[::1]"}))


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure
    """An error with an HTTP status, or headers, of its own. `reason`: under what a connection counts it."""

    def __init__(self, status: int, error: HandrailError, *headers: tuple[bytes, bytes], reason: str = "") -> None:
        super().__init__(error.problem)
        self.status = status
        self.error = error
        self.headers = headers
        self.reason = reason


def check_host(headers: Headers, limits: Limits) -> None:
    """Raises Refused (421) for a host that is not ours: a page of another site whose name points here."""
    host = headers.get(b"host", b"")
    found = HOST.fullmatch(host)
    if found is None or found[1].lower() not in limits.hosts:
        raise Refused(
            421,
            HandrailError(
                "forbidden",
                "this host is not served here",
                "ask for http://127.0.0.1 or localhost, or start the server with --allow-host NAME",
            ),
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


def too_large(limits: Limits) -> Refused:
    """The refusal of a body over the limit."""
    problem = f"a body may have {limits.max_body_bytes:,} bytes"
    mend = "send fewer rows at a time, or use handrail predict NAME FILE"
    return Refused(413, HandrailError("too_large", problem, mend), reason="body_too_large")


def no_room(problem: str, mend: str = "try again in a moment", *, reason: str = "") -> Refused:
    """The refusal of what would be read if less were there already."""
    return Refused(503, HandrailError("overloaded", problem, mend), (b"retry-after", b"1"), reason=reason)


def too_many_connections() -> Refused:
    """The refusal of one client more."""
    return no_room("too many connections", reason="connections")


def too_many_large_bodies() -> Refused:
    """The refusal of one large body more: only some are held at a time."""
    return no_room("too many large bodies at a time", "try again, or send fewer rows", reason="large_bodies")


def not_http(mend: str = "use an HTTP client") -> Refused:
    """The refusal of what is no request."""
    return Refused(400, HandrailError("usage", "this is no valid HTTP/1.1", mend), reason="malformed")


def given_twice(name: bytes) -> Refused:
    """The refusal of a header that may be given once."""
    error = HandrailError("usage", f"the header '{name.decode()}' is given twice", "give it once")
    return Refused(400, error, reason="malformed")


def address_too_large(limits: Limits) -> Refused:
    """The refusal of an address over the limit."""
    problem = f"an address may have {limits.max_url_bytes:,} bytes"
    return Refused(414, HandrailError("too_large", problem, "send rows in the body"), reason="address_too_large")


def head_too_large(limits: Limits) -> Refused:
    """The refusal of a head over the limit."""
    problem = f"at most {limits.max_headers} headers of {limits.max_head_bytes:,} bytes together"
    return Refused(431, HandrailError("too_large", problem, "send fewer headers"), reason="head_too_large")


def too_slow(part: str) -> Refused:
    """The refusal of a request whose `part`, "head" or "body", is not whole in time."""
    error = HandrailError("timeout", "the request did not arrive in time", "send it faster")
    return Refused(408, error, reason=f"{part}_too_slow")


def timeout_of(headers: Headers, limits: Limits) -> float:
    """How long this client waits, in seconds: `X-Deadline-Ms`, never more than our own limit."""
    asked_s = deadline_of(headers)
    return limits.answer_timeout_s if asked_s is None else min(asked_s, limits.answer_timeout_s)


def deadline_of(headers: Headers) -> float | None:
    """The seconds in `X-Deadline-Ms`; None where it is not given."""
    asked = headers.get(b"x-deadline-ms")
    if asked is None:
        return None
    if not asked.isdigit() or len(asked) > 15 or int(asked) == 0:
        raise HandrailError("usage", "x-deadline-ms is not a number of milliseconds", "send one such as 2000")
    return int(asked) / 1000


def trace_id_of(headers: Headers) -> str | None:
    """The trace that a request belongs to: 32 hex digits of its `traceparent`; None where that is absent or off.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    return None if found is None else found[1].decode()


def hosts_of(names: Iterable[str]) -> frozenset[bytes]:
    """Names as they stand in a header `host`. Raises HandrailError for what is no name of a host."""
    hosts = [f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names]
    for host in hosts:
        found = HOST.fullmatch(host.encode("utf-8", "replace"))
        if found is None or found[2]:
            mend = "a name or an address without a port: models.example.org"
            raise HandrailError("usage", f"'{clipped(host)}' is no host", mend)
    return frozenset(host.lower().encode() for host in hosts)
