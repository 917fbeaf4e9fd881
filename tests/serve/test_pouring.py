"""Answers that come in pieces, over real connections: whole, cut off, given up, and read slowly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Self

from handrail.serve.exchange import Later, Request, Response
from handrail.serve.http import Connection, Shared, sweeping
from handrail.serve.limits import Limits

GET = b"GET /words HTTP/1.1\r\nhost: localhost\r\n\r\n"
PLAIN = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
WORDS = [b"one ", b"two ", b"three"]


class Words:
    """Pieces that are put in one by one; None is their end."""

    def __init__(self, *words: bytes | None) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.asked = 0
        self.closed = asyncio.Event()
        for word in words:
            self.queue.put_nowait(word)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.asked += 1
        word = await self.queue.get()
        if isinstance(word, Exception):
            raise word
        if word is None:
            raise StopAsyncIteration
        return word

    def close(self) -> None:
        assert not self.closed.is_set()
        self.closed.set()


class Application:
    """Gives the words to /words, at once or, to /later, when asked again; a plain word to all else."""

    def __init__(self) -> None:
        self.words = Words()
        self.told: list[tuple[int, int]] = []
        self.answered_one = asyncio.Event()

    def __call__(self, request: Request) -> Response | Later:
        if request.path == "/":
            return Response(b"plain")
        streamed = Response(b"", b"text/event-stream", pieces=self.words)
        if request.path == "/words":
            return streamed
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, None)
        return Later(future, lambda done: streamed)

    def answered(self, request: Request, response: Response) -> None:
        self.told.append((response.status, response.size))
        self.answered_one.set()


class Client:
    """One connection from outside, and the application that answers it."""

    def __init__(
        self, app: Application, shared: Shared, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.app = app
        self.shared = shared
        self.reader = reader
        self.writer = writer

    async def until(self, end: bytes) -> bytes:
        return await self.reader.readuntil(end)

    async def head(self) -> bytes:
        return (await self.until(b"\r\n\r\n")).lower()


def connected(act: Callable[[Client], Awaitable[None]], **limits: float) -> None:
    async def run() -> None:
        numbers, app = count(1), Application()
        shared = Shared(app, Limits(**limits), lambda: b"id-%d" % next(numbers))  # type: ignore[arg-type]
        server = await asyncio.get_running_loop().create_server(lambda: Connection(shared), "127.0.0.1", 0)
        swept = asyncio.create_task(sweeping(shared))
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        while not shared.connections:
            await asyncio.sleep(0)
        try:
            await asyncio.wait_for(act(Client(app, shared, reader, writer)), 10)
        finally:
            writer.close()
            swept.cancel()
            server.close()

    asyncio.run(run())


def test_pieces_go_out_as_they_come_and_the_connection_goes_on() -> None:
    async def act(client: Client) -> None:
        client.writer.write(GET)
        head = await client.head()
        assert b"transfer-encoding: chunked" in head
        assert b"content-length" not in head
        assert b"x-request-id: id-1\r\n" in head
        for word in WORDS:
            client.app.words.queue.put_nowait(word)
            assert await client.until(word + b"\r\n") == b"%x\r\n%s\r\n" % (len(word), word)
        client.writer.write(PLAIN)  # sent ahead: it waits for its turn
        client.app.words.queue.put_nowait(None)
        assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert b"200 ok" in await client.head()
        assert await client.reader.readexactly(5) == b"plain"
        assert client.app.words.closed.is_set()
        assert client.app.told == [(200, sum(map(len, WORDS))), (200, 5)]

    connected(act)


def test_pieces_that_were_promised_go_out_alike() -> None:
    async def act(client: Client) -> None:
        client.app.words = Words(*WORDS, None)
        client.writer.write(GET.replace(b"/words", b"/later") + PLAIN)
        await client.head()
        assert (await client.until(b"0\r\n\r\n")).count(b"\r\n") == 2 * 3 + 2
        await client.head()
        assert await client.reader.readexactly(5) == b"plain"

    connected(act)


def test_an_old_client_reads_until_the_end_of_the_connection() -> None:
    async def act(client: Client) -> None:
        client.app.words = Words(*WORDS, None)
        client.writer.write(b"GET /words HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n")
        head = await client.head()
        assert b"connection: close" in head
        assert b"chunked" not in head
        assert await client.reader.read() == b"".join(WORDS)

    connected(act)


def test_who_asks_for_the_head_alone_has_nothing_made() -> None:
    async def act(client: Client) -> None:
        client.writer.write(GET.replace(b"GET", b"HEAD") + PLAIN)
        assert b"text/event-stream" in await client.head()
        assert client.app.words.closed.is_set()
        assert client.app.words.asked == 0
        assert b"200 ok" in await client.head()

    connected(act)


def test_a_client_that_leaves_is_noticed_at_once() -> None:
    async def act(client: Client) -> None:
        client.writer.write(GET)
        await client.head()
        client.app.words.queue.put_nowait(b"one")
        await client.until(b"one\r\n")
        client.writer.close()
        await client.app.words.closed.wait()
        await client.app.answered_one.wait()
        assert client.app.told == [(200, 3)]
        assert client.shared.connections == set()

    connected(act)


def test_a_client_that_leaves_just_before_the_first_piece_leaves_nothing_behind() -> None:
    async def act(client: Client) -> None:
        (connection,) = client.shared.connections
        connection.data_received(GET.replace(b"/words", b"/later"))  # type: ignore[attr-defined]
        await asyncio.sleep(0)  # now it is there, and not yet told
        connection.connection_lost(None)  # type: ignore[attr-defined]
        await client.app.words.closed.wait()
        assert client.app.words.asked == 0

    connected(act)


def test_a_client_that_does_not_read_holds_little_and_is_given_up() -> None:
    async def act(client: Client) -> None:
        words = client.app.words
        for _ in range(2_000):
            words.queue.put_nowait(bytes(2**16))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(GET)
        await words.closed.wait()
        assert words.asked < 1_000  # what the kernel holds for both, and no more
        assert client.shared.refusals["unread"] == 1

    connected(act, write_timeout_s=0.3)


def test_an_answer_that_fails_in_its_middle_does_not_look_whole() -> None:
    async def act(client: Client) -> None:
        client.app.words.queue.put_nowait(b"one")
        client.app.words.queue.put_nowait(ValueError("a bug"))
        client.writer.write(GET)
        await client.head()
        try:
            rest = await client.reader.read()
        except ConnectionError:
            rest = b""
        assert not re.search(rb"\r\n0\r\n\r\n$", rest)
        assert client.app.words.closed.is_set()

    connected(act)


def test_a_gateway_that_stops_finishes_what_it_began_and_then_closes() -> None:
    async def act(client: Client) -> None:
        client.writer.write(GET)
        await client.head()
        client.shared.draining = True
        for word in (*WORDS, None):
            client.app.words.queue.put_nowait(word)
        assert (await client.reader.read()).endswith(b"three\r\n0\r\n\r\n")

    connected(act)


def test_what_is_no_request_behind_a_stream_ends_the_connection_after_it() -> None:
    async def act(client: Client) -> None:
        client.writer.write(GET)
        await client.head()
        client.writer.write(b"nonsense\r\n\r\n")
        await client.writer.drain()
        for word in (*WORDS, None):
            client.app.words.queue.put_nowait(word)
        assert (await client.reader.read()).endswith(b"three\r\n0\r\n\r\n")

    connected(act)
