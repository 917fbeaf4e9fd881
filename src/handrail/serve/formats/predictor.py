"""Requests to user code: packed as they are for a replica, and what it answers as a response."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from handrail.core.errors import HandrailError
from handrail.predictors.exchange import Pairs, Request, packed_request, packed_rows, reply_of
from handrail.predictors.replies import NOT_THEIRS, TOKEN, WRITABLE
from handrail.serve.http import Response

__all__ = ["packed", "packed_rows", "response_of"]

KNOWN: Final = frozenset(status.value for status in HTTPStatus if status >= 200)
WITHOUT_BODY: Final = (204, 304)


def packed(
    method: str, path: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes, request_id: bytes = b"",
) -> bytes:  # fmt: skip
    """A request as one row. `packed_rows` makes the payload of a message of rows: it is the batcher's `pack`."""
    texts = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.items()}
    return packed_request(Request(method, path, query.decode("latin-1"), texts, body, request_id.decode("latin-1")))


def response_of(answer: bytes) -> Response:
    """The response that a replica's answer is. Raises HandrailError ("bug") when it is none.

    User code runs in the replica, so nothing it says is written to a connection unseen.
    """
    try:
        reply = reply_of(answer)
        status = reply.status if reply.status in KNOWN else max(200, reply.status // 100 * 100)
        headers = _headers(reply.headers)
        ((_, content_type),) = _headers((("content-type", reply.content_type),))
    except (ValueError, TypeError, KeyError, AttributeError, struct.error):
        raise HandrailError("bug", "the predictor's reply cannot be read", "look at the log of the API") from None
    return Response(b"" if status in WITHOUT_BODY else reply.body, content_type, status, headers)


def _headers(pairs: Pairs) -> tuple[tuple[bytes, bytes], ...]:
    """Headers that may be written. Raises ValueError for one that would be more than a header."""
    found = []
    for name, value in pairs:
        if not TOKEN.fullmatch(name) or not WRITABLE.fullmatch(value):
            raise ValueError(name)
        if name.lower() not in NOT_THEIRS:
            found.append((name.lower().encode("ascii"), value.encode("latin-1", "replace")))
    return tuple(found)
