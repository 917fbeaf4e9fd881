"""What is asked and what is answered: a request, a response, and the promise of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

Headers = Mapping[bytes, bytes]
Pairs = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"


@dataclass(slots=True)
class Request:
    """One request; its body comes after the rest. `id` is what the client chose in `X-Request-Id` when that is plain,
    else ours.

    `endpoint` is what answers it, once its head was let in; `refusal` is the answer of one whose head was not.
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

    @property
    def wants_html(self) -> bool:
        return b"text/html" in self.headers.get(b"accept", b"")


class Response(NamedTuple):
    """What is answered."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Pairs = ()


class Later(NamedTuple):
    """An answer that is not there yet: `finish` makes the response of the future when that is done."""

    future: asyncio.Future[Any]
    finish: Callable[[asyncio.Future[Any]], Response]
