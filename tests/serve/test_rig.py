"""The rigs themselves: they count what happens, and what they must notice they notice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.rig.asks import Ask, is_close, post, refused_asks
from tests.rig.clients import Load, openly, schedule
from tests.rig.counts import Counts
from tests.rig.doses import run
from tests.rig.proxy import Faults, proxying
from tests.rig.server import summed
from tests.rig.watcher import Sample, growth
from tests.rig.wire import parsed

RIGHT = {"label": "yes", "probability": 0.5}
ASK = Ask(post("/m/predict", b"{}"), (RIGHT,))
Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[bool]]


def answer(body: bytes = json.dumps(RIGHT).encode(), status: int = 200, *more: bytes) -> bytes:
    """A response as it goes over the wire."""
    head = b"".join(line + b"\r\n" for line in (b"HTTP/1.1 %d Word" % status, b"content-length: %d" % len(body), *more))
    return head + b"\r\n" + body


async def against(serve: Serving, load: Load, asks: list[Ask], faults: Faults | None = None) -> tuple[Counts, int]:
    """What the clients count of a stand-in server, and how many connections the proxy in front of it cut."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                if not await serve(reader, writer, await reader.readexactly(length)):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connection, "127.0.0.1", 0)
    async with listening, proxying(listening.sockets[0].getsockname()[1], faults or Faults()) as proxy:
        port = proxy.port if faults else listening.sockets[0].getsockname()[1]
        return await openly(port, asks, load), proxy.cut


def always(*written: bytes, then: bool = True) -> Serving:
    """A server that writes the same to every request, and goes on or closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> bool:
        for part in written:
            writer.write(part)
            await writer.drain()
        return then

    return serve


def counted(serve: Serving, **options: Any) -> Counts:
    """The counts of a short load."""
    return run(against(serve, Load(300, 0.3, **options), [ASK]))[0]


def test_right_answers_are_counted_and_arrive_in_pieces() -> None:
    whole = answer()
    counts = counted(always(whole[:10], whole[10:-3], whole[-3:]))
    assert counts.right == counts.sent > 50
    assert counts.failed == 0
    assert len(counts.right_s) == counts.right


def test_wrong_answers_are_counted_and_shown() -> None:
    counts = counted(always(answer(b'{"label": "no", "probability": 0.5}')))
    assert counts.wrong == counts.sent > 0
    assert "wrong: " in counts.examples[0]


def test_refusals_are_counted_by_status_and_those_that_do_not_say_when_to_retry() -> None:
    assert counted(always(answer(b"{}", 503, b"Retry-After: 1"))).without_retry_after == 0
    counts = counted(always(answer(b"{}", 503)))
    assert counts.refused == {503: counts.sent}
    assert counts.without_retry_after == counts.sent == len(counts.refused_s)


@pytest.mark.parametrize(
    ("written", "reason"),
    [(b"", "end"), (answer()[:-1], "end"), (b"HTTP/1.1 200 OK\r\n\r\n", "garbled"), (b"SSH-2.0\r\n\r\n", "garbled")],
)
def test_what_is_no_whole_answer_is_lost(written: bytes, reason: str) -> None:
    counts = counted(always(written, then=False))
    assert counts.lost == {f"{reason}, new connection": counts.sent}


def test_silence_is_lost_after_a_while() -> None:
    counts = counted(always(b""), timeout_s=0.05)
    assert counts.lost == {"time, new connection": counts.sent}


def test_a_closed_port_is_unreachable() -> None:
    async def ask() -> Counts:
        listening = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        listening.close()
        return await openly(port, [ASK], Load(100, 0.1))

    counts = run(ask())
    assert counts.lost == {"unreachable, new connection": counts.sent}


def test_careful_clients_honour_connection_close_and_naive_ones_lose_a_request_by_it() -> None:
    closing = always(answer(json.dumps(RIGHT).encode(), 200, b"connection: close"), then=False)
    assert counted(closing).failed == 0
    naive = counted(closing, naive_share=1.0)
    assert naive.lost.total() > 0
    assert set(naive.lost) <= {"end, reused connection", "reset, reused connection"}


def test_clients_that_leave_are_not_lost() -> None:
    counts = counted(always(b""), leaving_share=1.0)
    assert counts.left == counts.sent > 0
    assert counts.failed == 0


def test_a_late_answer_counts_from_when_its_request_was_due() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> bool:
        await asyncio.sleep(0.02)
        writer.write(answer())
        return True

    counts = counted(slow, max_in_flight=1)  # one at a time: 50 of 300 a second, so each waits for those before
    assert counts.right == counts.sent
    assert max(counts.right_s) > 0.3


def test_the_same_load_asks_the_same_at_the_same_times() -> None:
    load = Load(1000, 10, seed=3, naive_share=0.5, leaving_share=0.1)
    due = list(schedule(load, 50))
    assert due == list(schedule(load, 50))
    assert due != list(schedule(Load(1000, 10, seed=4), 50))
    assert 9_500 < len(due) < 10_500
    assert 4_500 < sum(one.naive for one in due) < 5_500


def test_the_proxy_loses_only_what_it_cuts() -> None:
    faults = Faults(delay_s=0.001, trickle_share=0.3, cut_share=0.5, cut_bytes=400)
    counts, cut = run(against(always(answer()), Load(200, 0.5), [ASK], faults))
    assert counts.right + counts.lost.total() == counts.sent
    assert 0 < counts.lost.total() <= cut


def test_each_version_has_its_own_right_answer_and_an_error_may_be_right() -> None:
    (off,) = refused_asks("m", [(b"{", 400)])
    ask = Ask(b"", ({"amount": 1.0}, {"amount": 2.0}))
    found = [parsed(answer(body, status))[0] for body, status in ((b'{"amount": 2.00001}', 200), (b"{}", 400))]  # type: ignore[index]
    assert ask.version(found[0]) == 1
    assert ask.version(found[1]) is None
    assert off.version(found[1]) == 0
    assert off.version(found[0]) is None


@pytest.mark.parametrize(
    ("found", "right", "close"),
    [
        (1.00001, 1, True),
        (1.01, 1, False),
        ("1", 1, False),
        ([1, 2], [1], False),
        ({"a": [1]}, {"a": [1.00001]}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, 0.0, False),
        (None, {}, False),
    ],
)
def test_answers_are_close_when_only_last_digits_differ(found: object, right: object, close: bool) -> None:
    assert is_close(found, right) is close


def test_growth_is_the_slope_after_the_warm_up() -> None:
    samples = [Sample(at, 2**20 * (100 if at < 10 else 50 + at), 2**20, 20 - at // 50, 4, 2) for at in range(100)]
    found = growth(samples, after_s=10)
    assert found.memory_mb_per_h == pytest.approx(3600)
    assert found.steady_mb_per_h == pytest.approx(3600)
    assert found.memory_mb == pytest.approx(89)
    assert found.descriptors_per_h < 0
    assert found.threads_per_h == 0


def test_one_step_is_no_steady_growth() -> None:
    samples = [Sample(at, 2**20 * (50 if at < 30 else 51), 2**20, 20, 4, 2) for at in range(100)]
    found = growth(samples)
    assert found.memory_mb_per_h > 30
    assert found.steady_mb_per_h == 0


def test_metrics_are_summed_over_the_labels_that_are_asked_for() -> None:
    text = (
        '# HELP x y\nx{model="a",outcome="ok"} 2\nx{model="b",outcome="ok"} 3\nx{model="b",outcome="no"} 4.5\nx_sum 9\n'
    )
    assert summed(text, "x") == 9.5
    assert summed(text, "x", {"outcome": "ok"}) == 5
    assert summed(text, "x", {"model": "b", "outcome": "no"}) == 4.5
