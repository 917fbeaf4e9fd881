"""Bodies that were made small on the way: unpacked within the limit that plain ones have."""

from __future__ import annotations

import zlib
from typing import Final

from handrail.core.errors import HandrailError
from handrail.serve.http import Headers
from handrail.serve.limits import Limits, Refused, too_large

# zlib's codes for the headers it is to expect, and nothing else.
ZLIB: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


def is_packed(headers: Headers) -> bool:
    """True for a body that has to be unpacked."""
    return headers.get(b"content-encoding", b"identity").lower() != b"identity"


def unpacked(body: bytes, headers: Headers, limits: Limits) -> bytes:
    """The body as it was before. Raises Refused or HandrailError when it is damaged, too large or unknown.

    No more than the limit is ever unpacked, however much a small body claims to hold.
    """
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if encoding in ZLIB:
        return _inflated(body, encoding.decode(), limits)
    if encoding == b"zstd":
        return _unzstd(body, limits)
    problem = f"bodies packed as '{encoding.decode('latin-1')[:40]}' are not read"
    raise HandrailError("media_type", problem, "send it plain, or with content-encoding: gzip")


def _inflated(body: bytes, kind: str, limits: Limits) -> bytes:
    unpacking = zlib.decompressobj(ZLIB[kind.encode()])
    try:
        content = unpacking.decompress(body, limits.max_body_bytes)
    except zlib.error as error:
        raise _damaged(kind) from error
    if unpacking.unconsumed_tail:
        raise too_large(limits)
    if not unpacking.eof or unpacking.unused_data:
        raise _damaged(kind)
    return content


def _unzstd(body: bytes, limits: Limits) -> bytes:
    try:
        import zstandard
    except ImportError:
        problem = "this server does not read zstd"
        raise HandrailError("media_type", problem, "send it as gzip, or on the server: pip install zstandard") from None
    unpacking = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj(read_across_frames=False)
    parts, size = [], 0
    try:
        # A little at a time, so that a bomb is noticed before it is unpacked.
        for start in range(0, len(body), 1024):
            parts.append(unpacking.decompress(body[start : start + 1024]))
            size += len(parts[-1])
            if size > limits.max_body_bytes:
                raise too_large(limits)
    except zstandard.ZstdError as error:
        raise _damaged("zstd") from error
    if not unpacking.eof or unpacking.unused_data:
        raise _damaged("zstd")
    return b"".join(parts)


def _damaged(kind: str) -> Refused:
    return Refused(400, HandrailError("usage", f"the body is no whole {kind}", "pack it again, or send it plain"))
