"""Messages between gateway and replica: two lengths, a JSON header, a payload; nothing in them can run."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

LENGTHS: Final = struct.Struct("<II")
MAX_HEADER_BYTES: Final = 4 * 2**20
MAX_PAYLOAD_BYTES: Final = 256 * 2**20
READ_BYTES: Final = 2**16

Header = dict[str, Any]
Message = tuple[Header, bytes]


def framed(header: Header, payload: bytes = b"") -> bytes:
    """One message as bytes."""
    head = orjson.dumps(header)
    return LENGTHS.pack(len(head), len(payload)) + head + payload


class Unframer:
    """Bytes as they arrive, messages as they are whole. Raises ValueError when a message is larger than allowed."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        held = self._held
        held += data
        while len(held) >= LENGTHS.size:
            head_bytes, payload_bytes = _lengths(held)
            end = LENGTHS.size + head_bytes + payload_bytes
            if len(held) < end:
                return
            header = orjson.loads(bytes(held[LENGTHS.size : LENGTHS.size + head_bytes]))
            payload = bytes(held[LENGTHS.size + head_bytes : end])
            del held[:end]
            yield header, payload


def receive(connection: socket.socket) -> Message:
    """The next message on a blocking socket, on which only one is under way at a time.

    Raises EOFError when the other side is gone, ValueError when it is too large or followed by another.
    """
    # Mostly one read brings it whole; asking for the lengths first would be a call to the system for each part.
    held = bytearray(_some(connection, READ_BYTES))
    while len(held) < LENGTHS.size:
        held += _some(connection, READ_BYTES)
    head_bytes, payload_bytes = _lengths(held)
    head_end = LENGTHS.size + head_bytes
    end = head_end + payload_bytes
    while len(held) < end:
        held += _some(connection, min(end - len(held), 2**20))
    if len(held) > end:
        raise ValueError("a message came before the one ahead of it was answered")
    return orjson.loads(held[LENGTHS.size : head_end]), bytes(held[head_end:])


def joined(parts: Sequence[bytes]) -> bytes:
    """Several byte strings as one, to be taken apart by `parted`."""
    return struct.pack(f"<{len(parts)}I", *map(len, parts)) + b"".join(parts)


def parted(payload: bytes, count: int) -> list[bytes]:
    """The `count` byte strings in a payload. Raises ValueError or struct.error when they are not there."""
    sizes = struct.unpack_from(f"<{count}I", payload)
    start, parts = 4 * count, []
    for size in sizes:
        parts.append(payload[start : start + size])
        start += size
    if start != len(payload):
        raise ValueError("the payload is not as long as its parts")
    return parts


def _lengths(held: bytes | bytearray) -> tuple[int, int]:
    head_bytes, payload_bytes = LENGTHS.unpack_from(held)
    if head_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise ValueError("a message is larger than allowed")
    return head_bytes, payload_bytes


def _some(connection: socket.socket, size: int) -> bytes:
    data = connection.recv(size)
    if not data:
        raise EOFError
    return data
