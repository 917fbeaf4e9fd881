"""What `predict` returned as a reply: JSON, a text, bytes, or a response of Starlette's or our own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

from handrail.predictors.exchange import BYTES, Reply
from handrail.predictors.responses import body_and_type

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
WRITABLE: Final = re.compile(r"[^\r\n\0]*")
# The connection is the gateway's: these are its words.
NOT_THEIRS: Final = frozenset({
    "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "te", "date",
    "x-request-id",
})  # fmt: skip

Afterwards = Callable[[], object]


def reply_of_value(value: Any) -> tuple[Reply, Afterwards | None]:
    """The reply, and what is to be done when it is on its way. Raises TypeError or ValueError for what is no reply."""
    if isinstance(value, tuple) and len(value) == 2 and callable(value[1]) and not is_response(value[1]):
        reply, more = reply_of_value(value[0])
        return reply, _both(more, value[1])
    if is_response(value):
        return _of_response(value), _background(value)
    return Reply(*body_and_type(value)), None


def is_response(value: Any) -> bool:
    """Whether it looks like a response: Starlette's, ours, or one with the same names."""
    return isinstance(getattr(value, "status_code", None), int) and hasattr(value, "headers")


def _of_response(response: Any) -> Reply:
    if isinstance(getattr(response, "body", None), bytes):
        status, pairs, body = response.status_code, list(response.headers.items()), response.body
    elif callable(response):
        status, pairs, body = asyncio.run(_spoken(response))
    else:
        raise TypeError("the response has no body of bytes")
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of a response (200 to 599)")
    headers = [(str(name).lower(), str(value)) for name, value in pairs]
    given = next((value for name, value in headers if name == "content-type"), None)
    kind = given or getattr(response, "media_type", None) or BYTES
    rest = tuple(pair for pair in headers if pair[0] not in NOT_THEIRS and pair[0] != "content-type")
    _refuse_unwritable([*rest, ("content-type", kind)])
    return Reply(body, kind, status, rest)


async def _spoken(response: Any) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a response that speaks ASGI, such as one that reads a file."""
    parts: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        parts.append(message)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # nobody leaves before the end
        return {"type": "http.disconnect"}

    await response({"type": "http", "method": "GET", "path": "/", "headers": [], "extensions": {}}, receive, send)
    start = next(part for part in parts if part["type"] == "http.response.start")
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
    return start["status"], pairs, b"".join(part.get("body", b"") for part in parts)


def _refuse_unwritable(headers: list[tuple[str, str]]) -> None:
    for name, value in headers:
        if not TOKEN.fullmatch(name) or not WRITABLE.fullmatch(value):
            raise ValueError(f"the header {name!r} cannot be written: {value!r}")


def _background(response: Any) -> Afterwards | None:
    """Starlette's task that runs after the response."""
    task = getattr(response, "background", None)
    return None if not callable(task) else lambda: asyncio.run(task())


def _both(first: Afterwards | None, second: Afterwards) -> Afterwards:
    def run() -> None:
        for act in (first, second):
            if act is not None:
                act()

    return run
