"""The queue of one API, with a replica that answers when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from handrail.core.errors import HandrailError
from handrail.model import Model
from handrail.serve.batcher import Batcher, Batching
from handrail.serve.messages import Unframer
from handrail.serve.metrics import Metrics
from tests.serve.served import InProcessLink

VALUES = [30.0, "pro", 1.0]


def with_held_replica(model: Model, act: Callable[[Batcher, InProcessLink], Awaitable[None]], **bounds: Any) -> None:
    async def run() -> None:
        batcher = Batcher(Metrics(), Batching(**bounds))
        link = InProcessLink(model, batcher)
        link.held = True
        batcher.joined(link)
        await act(batcher, link)

    asyncio.run(run())


def sizes(link: InProcessLink) -> list[int]:
    """How many rows each message to the replica held."""
    return [len(orjson.loads(payload)) for message in link.sent for _, payload in Unframer().feed(message)]


async def turns() -> None:
    """Lets what is planned on the loop happen."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_lone_request_goes_at_once_and_what_waited_is_the_next_batch(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        first = batcher.submit([VALUES], timeout_s=9)
        await turns()
        rest = [batcher.submit([VALUES, VALUES], timeout_s=9) for _ in range(5)]
        await turns()
        assert sizes(link) == [1]
        link.reply()
        assert sizes(link) == [1, 10]
        link.reply()
        assert [len(await future) for future in (first, *rest)] == [1, 2, 2, 2, 2, 2]

    with_held_replica(model, act)


def test_short_requests_pass_between_the_batches_of_a_long_one(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        long = batcher.submit([VALUES] * 10, timeout_s=9)
        await turns()
        short = batcher.submit([VALUES], timeout_s=9)
        link.reply()
        link.reply()
        await short
        assert not long.done()
        while not long.done():
            link.reply()
            await turns()
        assert len(long.result()) == 10

    with_held_replica(model, act, max_batch_size=4)


def test_too_much_waiting_is_refused_with_a_time_to_come_back(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        batcher.submit([VALUES] * 8, timeout_s=9)
        with pytest.raises(HandrailError) as found:
            batcher.submit([VALUES] * 3, timeout_s=9)
        assert found.value.http_status == 503
        assert 1 <= batcher.retry_after_s() <= 60

    with_held_replica(model, act, max_waiting_rows=10)


def test_work_of_clients_that_left_is_not_started(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        batcher.submit([VALUES], timeout_s=9)
        await turns()
        batcher.submit([VALUES] * 3, timeout_s=9).cancel()
        stays = batcher.submit([VALUES] * 2, timeout_s=9)
        link.reply()
        assert sizes(link) == [1, 2]
        link.reply()
        await stays
        assert batcher.is_quiet

    with_held_replica(model, act)


def test_what_is_late_is_told_so_and_not_started(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        batcher.submit([VALUES], timeout_s=9)
        await turns()
        late = batcher.submit([VALUES], timeout_s=-1)
        batcher.tick(9, ping=False)
        with pytest.raises(HandrailError) as found:
            await late
        assert found.value.http_status == 504
        assert batcher.waiting == 0

    with_held_replica(model, act)


def test_a_batch_in_flight_is_tried_again_alone_when_its_replica_dies(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        futures = [batcher.submit([VALUES], timeout_s=9) for _ in range(3)]
        await turns()
        assert sizes(link) == [3]
        batcher.lost(link)
        batcher.joined(fresh := InProcessLink(model, batcher))
        assert [len(await future) for future in futures] == [1, 1, 1]
        assert sizes(fresh) == [1, 1, 1]

    with_held_replica(model, act)


def test_a_request_that_kills_twice_is_refused_and_not_tried_again(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        poison = batcher.submit([[666.0, "pro", 1.0]], timeout_s=9)
        good = batcher.submit([VALUES], timeout_s=9)
        for _ in range(2):
            await turns()
            batcher.lost(link)
            link = InProcessLink(model, batcher)
            link.held = not poison.done()
            batcher.joined(link)
        with pytest.raises(HandrailError) as found:
            await poison
        assert found.value.http_status == 422
        link.held = False
        await turns()
        assert len(await good) == 1
        with pytest.raises(HandrailError, match="crashed the model before"):
            batcher.submit([[666.0, "pro", 1.0]], timeout_s=9)

    with_held_replica(model, act)


def test_a_replica_that_hangs_is_killed(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        batcher.submit([VALUES], timeout_s=9)
        await turns()
        batcher.tick(9, ping=True)
        assert not link.killed
        batcher.tick(-1, ping=True)
        assert link.killed

    with_held_replica(model, act)


def test_an_idle_replica_is_asked_whether_it_is_there(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        batcher.tick(9, ping=True)
        assert len(link.sent) == 1
        link.reply()
        future = batcher.submit([VALUES], timeout_s=9)
        await turns()
        link.reply()
        assert len(await future) == 1

    with_held_replica(model, act)


def test_the_count_of_waiting_rows_returns_to_nothing(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        for _ in range(3):
            futures = [batcher.submit([VALUES] * 7, timeout_s=9) for _ in range(4)]
            futures[1].cancel()
            while not all(future.done() for future in futures):
                await turns()
                link.reply()
            batcher.lost(link)
            batcher.joined(link)
        assert batcher.is_quiet
        batcher.submit([VALUES] * 28, timeout_s=9)
        with pytest.raises(HandrailError):
            batcher.submit([VALUES], timeout_s=9)

    with_held_replica(model, act, max_batch_size=5, max_waiting_rows=28)


def test_what_cannot_be_answered_in_time_is_refused_at_once(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        for _ in range(20):  # each row takes 10 ms
            future = batcher.submit([VALUES] * 4, timeout_s=9)
            await turns()
            batcher._flying[link] = (batcher._flying[link][0], batcher._flying[link][1] - 0.04)
            link.reply()
            await future
        waiting = [batcher.submit([VALUES] * 4, timeout_s=9) for _ in range(10)]
        await turns()
        with pytest.raises(HandrailError) as found:
            batcher.submit([VALUES], timeout_s=0.1)
        assert found.value.code == "overloaded"
        in_time = batcher.submit([VALUES], timeout_s=2)
        while not in_time.done():
            link.reply()
            await turns()
        assert len([future for future in waiting if future.done()]) == 10

    with_held_replica(model, act)


def test_a_replica_ended_from_outside_does_not_speak_against_what_it_had(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        future = batcher.submit([VALUES], timeout_s=9)
        for _ in range(5):
            await turns()
            batcher.lost(link, crashed=False)
            link = InProcessLink(model, batcher)
            link.held = True
            batcher.joined(link)
        await turns()
        link.reply()
        assert len(await future) == 1

    with_held_replica(model, act)


def test_with_an_interval_the_first_waits_for_others_and_a_full_batch_does_not(model: Model) -> None:
    async def act(batcher: Batcher, link: InProcessLink) -> None:
        for _ in range(3):
            batcher.submit([VALUES], timeout_s=9)
            await turns()
        assert sizes(link) == []
        await asyncio.sleep(0.06)
        assert sizes(link) == [3]
        link.reply()
        batcher.submit([VALUES] * 4, timeout_s=9)
        await turns()
        assert sizes(link) == [3, 4]

    with_held_replica(model, act, max_batch_size=4, batch_interval_s=0.05)
