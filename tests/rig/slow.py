"""Clients that take their time: with the head, with the body, or with reading the answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

Slow = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
PAUSE_S = 0.2


async def dawdling(port: int, raw: bytes, *, clients: int, seconds: float) -> dict[str, int]:
    """Keeps that many slow clients of each kind busy with one request; says how many of each the server let go."""
    kinds: dict[str, Slow] = {"head": slow_head, "body": slow_body, "read": slow_read}
    until = asyncio.get_running_loop().time() + seconds
    asking = {
        kind: asyncio.gather(*(_again(port, raw, act, until) for _ in range(clients))) for kind, act in kinds.items()
    }
    return {kind: sum(await ended) for kind, ended in asking.items()}


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
    """One byte of a head at a time, without an end."""
    writer.write(raw.partition(b"\r\n\r\n")[0] + b"\r\nx-slow: ")
    while True:
        writer.write(b"s")
        await _paused(writer)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
    """A body of which a few bytes come at a time."""
    head, found, body = raw.partition(b"\r\n\r\n")
    writer.write(head + found)
    for start in range(0, len(body), 10):
        writer.write(body[start : start + 10])
        await _paused(writer)


async def slow_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
    """Whole requests, and an answer of which a few bytes are read at a time."""
    writer.write(raw)
    while await reader.read(100):
        await _paused(writer)
    raise ConnectionError


async def _paused(writer: asyncio.StreamWriter) -> None:
    if writer.transport.is_closing():
        raise ConnectionError
    await asyncio.sleep(PAUSE_S)
    await writer.drain()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that holds little that was not read yet, here and in the kernel."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    held.setblocking(False)
    await asyncio.get_running_loop().sock_connect(held, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=held, limit=1_000)


async def _again(port: int, raw: bytes, act: Slow, until: float) -> int:
    """Opens a new connection each time the server ends one; gives how often it did."""
    ended = 0
    while asyncio.get_running_loop().time() < until:
        reader, writer = await _connected(port)
        try:
            async with asyncio.timeout_at(until):
                await act(reader, writer, raw)
        except TimeoutError:
            pass
        except ConnectionError:
            ended += 1
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return ended
