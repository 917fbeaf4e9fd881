"""What is asked and what is answered: a request, a response, and the promise of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, Self

Headers = Mapping[bytes, bytes]
Pairs = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"


@dataclass(slots=True)
class Request:
    """One request; its body comes after the rest. `id` is what the client chose in `X-Request-Id` when that is plain,
    else ours.

    `endpoint` is what answers it, once its head was let in; `refusal` is the answer of one whose head was not.
    `reads_chunks`: False for HTTP/1.0, where an answer of unknown length ends with its connection.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    client: str
    id: bytes
    started: float
    endpoint: Callable[[Request], Response | Later] | None = None
    refusal: Response | None = None
    reads_chunks: bool = True

    @property
    def wants_html(self) -> bool:
        return b"text/html" in self.headers.get(b"accept", b"")


class Pieces(Protocol):
    """An answer that comes bit by bit. No more is asked for than the client reads."""

    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> bytes: ...
    def close(self) -> None:
        """Called once, when all was sent or nobody waits for the rest."""


class Response(NamedTuple):
    """What is answered: a body, or `pieces` in its stead, of which `streamed_bytes` were sent in the end."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Pairs = ()
    pieces: Pieces | None = None
    streamed_bytes: int = 0

    @property
    def size(self) -> int:
        """How many bytes of it there are, without its head."""
        return len(self.body) + self.streamed_bytes


class Later(NamedTuple):
    """An answer that is not there yet: `finish` makes the response of the future when that is done."""

    future: asyncio.Future[Any]
    finish: Callable[[asyncio.Future[Any]], Response]
