"""Files as answers: whole where they are small, else the ranges that are asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError
from handrail.core.files import disk_errors
from handrail.serve.http import Response
from handrail.serve.limits import Refused

# Files are larger than memory should be: who wants more than this asks for ranges of them.
MOST_BYTES: Final = 32 * 2**20
RANGE: Final = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


def file_answer(path: Path, kind: bytes, asked: bytes | None) -> Response:
    """A file, or the range of it that a header `range` asks for, never more than fits into memory.

    Raises HandrailError ("too_large") for all of a file that is large, Refused (416) for a range that is not there.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-14
    """
    with disk_errors(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        first, last = _range(asked, size)
        if asked is None and size > MOST_BYTES:
            mend = f"ask for ranges: curl -r 0-{MOST_BYTES - 1}"
            raise HandrailError("too_large", f"it has {size:,} bytes", mend)
        content = os.pread(file.fileno(), min(last + 1 - first, MOST_BYTES), first)
    headers: tuple[tuple[bytes, bytes], ...] = ((b"accept-ranges", b"bytes"),)
    if asked is None:
        return Response(content, kind, headers=headers)
    headers = (*headers, (b"content-range", b"bytes %d-%d/%d" % (first, first + len(content) - 1, size)))
    return Response(content, kind, status=206, headers=headers)


def _range(asked: bytes | None, size: int) -> tuple[int, int]:
    """The first and the last byte that are asked for. Raises Refused (416)."""
    if asked is None:
        return 0, size - 1
    parts = RANGE.fullmatch(asked)
    if parts is not None and parts[1]:
        first, last = int(parts[1]), min(int(parts[2] or size - 1), size - 1)
    elif parts is not None and parts[2]:
        first, last = max(0, size - int(parts[2])), size - 1
    else:
        first, last = 0, -1
    if first > last:
        error = HandrailError("usage", "there is no such range", f"it has {size:,} bytes")
        raise Refused(416, error, (b"content-range", b"bytes */%d" % size))
    return first, last
