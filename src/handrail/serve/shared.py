"""What the connections of one gateway share: the application, the bounds, the counts, and one timer for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, Protocol

from handrail.serve.exchange import Later, Request, Response
from handrail.serve.limits import Limits
from handrail.serve.metrics import no_refusals

SWEEP_S: Final = 0.25


class Application(Protocol):
    """What a connection asks. Neither method raises."""

    def __call__(self, request: Request) -> Response | Later: ...
    def answered(self, request: Request, response: Response) -> None: ...


@dataclass
class Shared:
    """What the connections of one gateway share."""

    app: Application
    limits: Limits
    request_id: Callable[[], bytes]
    # Looks at a request as soon as its head is there: the answer of one that is refused, before its body is read.
    admit: Callable[[Request], Response | None] | None = None
    refusals: dict[str, int] = field(default_factory=no_refusals)
    connections: set[Swept] = field(default_factory=set)
    large_bodies: int = 0
    draining: bool = False
    # The header `date`, made anew by the sweep instead of for each answer.
    date: bytes = field(default_factory=lambda: formatdate(usegmt=True).encode())


class Swept(Protocol):
    """A connection, which is looked after: `now` is of a clock that never jumps."""

    def sweep(self, now: float) -> None: ...


async def sweeping(shared: Shared) -> None:
    """Looks after all connections, four times a second: one timer, not one for each request."""
    while True:
        await asyncio.sleep(SWEEP_S)
        now = time.monotonic()
        shared.date = formatdate(usegmt=True).encode()
        for connection in list(shared.connections):
            connection.sweep(now)
