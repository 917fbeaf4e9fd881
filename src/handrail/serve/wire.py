"""An answer as bytes on the wire: its head, its body, or the chunks of one that comes in pieces."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from handrail.serve.exchange import Request, Response

REASONS: Final = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
LAST_CHUNK: Final = b"0\r\n\r\n"


def written(response: Response, request_id: bytes, date: bytes, *, closes: bool, bare: bool = False) -> bytes:
    """An answer as it goes over the wire. `bare`: its body is measured, and left out."""
    body = response.body
    more = b"".join(b"%s: %s\r\n" % pair for pair in response.headers) if response.headers else b""
    if closes:
        more += b"connection: close\r\n"
    return (
        b"%scontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\ndate: %s\r\n"
        b"x-content-type-options: nosniff\r\n%s\r\n%s"
    ) % (REASONS[response.status], response.content_type, len(body), request_id, date, more, b"" if bare else body)


def begun(response: Response, request: Request, date: bytes, *, closes: bool) -> bytes:
    """The head of an answer that comes in pieces."""
    more = b"".join(b"%s: %s\r\n" % pair for pair in response.headers) if response.headers else b""
    if request.reads_chunks:
        more += b"transfer-encoding: chunked\r\n"
    if closes:
        more += b"connection: close\r\n"
    return (b"%scontent-type: %s\r\nx-request-id: %s\r\ndate: %s\r\nx-content-type-options: nosniff\r\n%s\r\n") % (
        REASONS[response.status],
        response.content_type,
        request.id,
        date,
        more,
    )


def chunk(piece: bytes) -> bytes:
    """One piece of an answer whose length nobody knows yet; an empty one would be its end.

    Source: https://www.rfc-editor.org/rfc/rfc9112#section-7.1
    """
    return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
