"""One connection, with an application that stands in: what is answered before a body came, and what is counted."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from handrail.serve.exchange import Later, Request, Response
from handrail.serve.http import LARGEST_LINGER_BYTES, LARGEST_REST_BYTES, Connection, Shared
from handrail.serve.limits import Limits
from handrail.serve.metrics import REFUSALS, written

OPEN = b"POST /open HTTP/1.1\r\nhost: localhost\r\n"
LOCKED = b"POST /locked HTTP/1.1\r\nhost: localhost\r\n"


class Application:
    """Answers a body with its length; a request for /later waits until it is let go. /locked is refused by its head."""

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.bodies: list[bytes] = []
        self.told: list[int] = []
        self.later: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def admit(self, request: Request) -> Response | None:
        self.looked.append(request.path)
        return Response(b"no", status=401) if request.path == "/locked" else None

    def __call__(self, request: Request) -> Response | Later:
        self.bodies.append(request.body)
        if request.path == "/later":
            return Later(self.later, lambda done: Response(b"late"))
        return Response(b"%d" % len(request.body))

    def answered(self, request: Request, response: Response) -> None:
        self.told.append(response.status)


class Wire(asyncio.Transport):
    """A transport without a network: keeps what is written, and what was done to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.state = "open"

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def write_eof(self) -> None:
        self.state = "half closed"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def can_write_eof(self) -> bool:
        return True

    @property
    def statuses(self) -> list[int]:
        return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", self.written)]


class Gateway:
    """What the connections of a test share."""

    def __init__(self, **limits: float) -> None:
        self.app = Application()
        numbers = count(1)
        bounds = Limits(**limits)  # type: ignore[arg-type]
        self.shared = Shared(self.app, bounds, lambda: b"id-%d" % next(numbers), self.app.admit)

    def connected(self, *sent: bytes) -> tuple[Wire, Connection]:
        """A connection over which these pieces came, one read for each."""
        wire, connection = Wire(), Connection(self.shared)
        connection.connection_made(wire)
        for piece in sent:
            connection.data_received(piece)
        return wire, connection

    @property
    def refused(self) -> dict[str, int]:
        return {reason: number for reason, number in self.shared.refusals.items() if number}


def with_gateway(act: Callable[[Gateway], Awaitable[None]], **limits: float) -> None:
    async def run() -> None:
        await act(Gateway(**limits))

    asyncio.run(run())


def test_a_head_that_is_refused_is_answered_before_its_body_comes() -> None:
    async def act(gateway: Gateway) -> None:
        wire, connection = gateway.connected(LOCKED, b"content-length: 30000000\r\n\r\n")
        assert wire.statuses == [401]
        assert b"connection: close" in wire.written
        assert wire.state == "half closed"
        connection.data_received(bytes(LARGEST_LINGER_BYTES))
        assert wire.state == "half closed"  # what is on its way is thrown away, so that the answer arrives
        connection.data_received(b"x")
        assert wire.state == "aborted"  # but not without end
        assert gateway.app.bodies == []
        assert gateway.refused == {"key": 1}

    with_gateway(act)


def test_a_short_body_that_nobody_reads_is_passed_over_and_the_connection_goes_on() -> None:
    async def act(gateway: Gateway) -> None:
        wire, connection = gateway.connected(LOCKED + b"content-length: 9\r\n\r\n", b"12345")
        assert wire.statuses == [401]
        assert b"connection: close" not in wire.written
        connection.data_received(b"6789" + OPEN + b"content-length: 2\r\n\r\nab")
        assert wire.statuses == [401, 200]
        assert gateway.app.bodies == [b"ab"]
        assert wire.state == "open"

    with_gateway(act)


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"content-length: %d\r\n" % LARGEST_REST_BYTES, True),
        (b"content-length: %d\r\n" % (LARGEST_REST_BYTES + 1), False),
        (b"content-length: 999999999999\r\n", False),
        (b"transfer-encoding: chunked\r\n", False),
        (b"content-length: 9\r\nexpect: 100-continue\r\n", False),
        (b"content-length: 9\r\nconnection: close\r\n", False),
    ],
)
def test_only_a_short_rest_of_known_length_that_will_come_is_waited_for(head: bytes, stays: bool) -> None:
    async def act(gateway: Gateway) -> None:
        wire, _ = gateway.connected(LOCKED + head + b"\r\n")
        assert wire.statuses == [401]  # no "100 Continue" before it
        assert (wire.state, b"connection: close" in wire.written) == (
            ("open", False) if stays else ("half closed", True)
        )

    with_gateway(act)


def test_a_request_that_came_whole_is_answered_once_and_the_connection_goes_on() -> None:
    async def act(gateway: Gateway) -> None:
        whole = LOCKED + b"content-length: 3\r\n\r\nabc"
        chunked = LOCKED + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        bare = b"HEAD /locked HTTP/1.1\r\nhost: localhost\r\n\r\n"
        wire, _ = gateway.connected(whole + chunked + bare + OPEN + b"content-length: 3\r\n\r\nabc")
        assert wire.statuses == [401, 401, 401, 200]
        assert gateway.app.looked == ["/locked", "/locked", "/locked", "/open"]  # each once: that takes from its rate
        assert gateway.app.told == [401, 401, 401, 200]
        assert (gateway.app.bodies, wire.state) == ([b"abc"], "open")

    with_gateway(act)


@pytest.mark.parametrize("length", [9, 30_000_000])
def test_a_refusal_waits_for_the_answers_before_it(length: int) -> None:
    async def act(gateway: Gateway) -> None:
        first = b"GET /later HTTP/1.1\r\nhost: localhost\r\n\r\n"
        wire, _ = gateway.connected(first + LOCKED + b"content-length: %d\r\n\r\n1234" % length)
        assert wire.statuses == []
        gateway.app.later.set_result(None)
        await asyncio.sleep(0)
        assert wire.statuses == [200, 401]
        assert wire.state == ("open" if length == 9 else "half closed")

    with_gateway(act)


def test_a_body_of_a_refused_request_that_never_ends_ends_the_connection_without_another_answer() -> None:
    async def act(gateway: Gateway) -> None:
        wire, connection = gateway.connected(LOCKED + b"content-length: 9\r\n\r\n")
        connection.sweep(time.monotonic() + 1)
        assert wire.state == "open"
        connection.sweep(time.monotonic() + 99)
        assert (wire.statuses, wire.state) == ([401], "closed")

    with_gateway(act)


def test_who_may_ask_is_looked_at_before_how_much_is_announced() -> None:
    async def act(gateway: Gateway) -> None:
        assert gateway.connected(LOCKED + b"content-length: 999999999\r\n\r\n")[0].statuses == [401]
        assert gateway.connected(OPEN + b"content-length: 999999999\r\n\r\n")[0].statuses == [413]
        wire, _ = gateway.connected(OPEN + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n", b"ab")
        assert wire.statuses == [100, 200]

    with_gateway(act)


def test_each_refusal_is_counted_under_its_reason() -> None:
    async def act(gateway: Gateway) -> None:
        gateway.connected(b"nonsense\r\n\r\n")
        gateway.connected(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
        gateway.connected(b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n")
        gateway.connected(b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n")
        gateway.connected(OPEN + b"content-length: 99\r\n\r\n")
        gateway.connected(OPEN + b"transfer-encoding: chunked\r\n\r\n14\r\n" + bytes(20) + b"\r\n")
        gateway.connected(OPEN + b"content-length: 9\r\n\r\n1234567")
        for sent in (b"GET / HT", OPEN + b"content-length: 9\r\n\r\n1"):
            gateway.connected(sent)[1].sweep(time.monotonic() + 99)
        _, stuck = gateway.connected()
        stuck.pause_writing()
        stuck.sweep(time.monotonic() + 99)
        gateway.connected(LOCKED + b"\r\n")
        wire, _ = gateway.connected()
        assert wire.statuses == [503]
        reasons = (
            "address_too_large",
            "body_too_slow",
            "connections",
            "head_too_large",
            "head_too_slow",
            "key",
            "unread",
        )
        wanted = {**dict.fromkeys(reasons, 1), "body_too_large": 2, "large_bodies": 1, "malformed": 2}
        assert gateway.refused == wanted

    with_gateway(act, max_body_bytes=10, large_body_bytes=5, max_large_bodies=0, max_connections=11)


def test_the_series_of_refusals_are_fixed() -> None:
    async def act(gateway: Gateway) -> None:
        assert tuple(gateway.shared.refusals) == REFUSALS
        text = written([], gateway.shared.refusals)
        assert text.count("handrail_refusals_total{") == len(REFUSALS)
        assert 'handrail_refusals_total{reason="connections"} 0\n' in text
        assert text.count("# TYPE handrail_refusals_total counter") == 1
        assert "handrail_refusals_total" not in written([])

    with_gateway(act)
