"""Requests to a predictor and its replies as bytes: what the gateway packs, a replica unpacks, and the other way."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

COUNT: Final = struct.Struct("<I")
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One request as it came. Names of headers are in lower case; `id` is how logs call it."""

    method: str = "POST"
    path: str = "/"
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    id: str = ""


@dataclass(frozen=True)
class Reply:
    """What goes back for one request."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: Pairs = ()


def packed_request(request: Request) -> bytes:
    """The request as one row of a message."""
    head = [request.method, request.path, request.query, request.headers, request.id]
    return _packed(head, request.body)


def request_of(row: bytes) -> Request:
    """The inverse of `packed_request`."""
    (method, path, query, headers, name), body = _unpacked(row)
    return Request(method, path, query, headers, body, name)


def what_is_asked(row: bytes) -> bytes:
    """What two requests for the same have in common: neither their headers nor their ids."""
    request = request_of(row)
    return "\0".join((request.method, request.path, request.query, "")).encode() + request.body


def packed_reply(reply: Reply) -> bytes:
    """The reply as one answer of a message."""
    return _packed([reply.status, reply.content_type, reply.headers], reply.body)


def reply_of(answer: bytes) -> Reply:
    """The inverse of `packed_reply`. Raises ValueError or struct.error for what is none."""
    (status, content_type, headers), body = _unpacked(answer)
    return Reply(body, content_type, status, tuple((name, value) for name, value in headers))


def packed_rows(rows: Sequence[bytes]) -> bytes:
    """Rows as the payload of one message: how many, how long each, and then all of them."""
    return struct.pack(f"<{1 + len(rows)}I", len(rows), *map(len, rows)) + b"".join(rows)


def rows_of(payload: bytes) -> list[bytes]:
    """The inverse of `packed_rows`."""
    (count,) = COUNT.unpack_from(payload)
    sizes = struct.unpack_from(f"<{count}I", payload, COUNT.size)
    start, rows = COUNT.size * (1 + count), []
    for size in sizes:
        rows.append(payload[start : start + size])
        start += size
    return rows


def _packed(head: Any, body: bytes) -> bytes:
    first = orjson.dumps(head)
    return COUNT.pack(len(first)) + first + body


def _unpacked(content: bytes) -> tuple[Any, bytes]:
    (size,) = COUNT.unpack_from(content)
    end = COUNT.size + size
    return orjson.loads(content[COUNT.size : end]), content[end:]
