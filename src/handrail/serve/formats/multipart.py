"""A form as browsers send it: one row, a part for each field; bounded before a part is looked at."""

from __future__ import annotations

import re
from typing import Final

from handrail.core.errors import HandrailError
from handrail.core.values import quoted
from handrail.serve.limits import Refused

MAX_PARTS: Final = 1_000
MAX_HEAD_BYTES: Final = 4_096
BOUNDARY: Final = re.compile(rb"""; ?boundary=(?:"([^"\r\n]{1,70})"|([A-Za-z0-9'()+_,./:=?-]{1,70}))\s*(?:;|$)""", re.I)
NAME: Final = re.compile(rb"""^form-data\b.*?;\s*name=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))""", re.I)
ESCAPED: Final = re.compile(rb"\\(.)|%(22|0D|0A)", re.I)


def row_of(body: bytes, content_type: bytes) -> dict[str, str]:
    """The row that a form holds: texts by field. File names are not looked at: a file is its content.

    Raises Refused (400, 413) for a form that is no form, or has more than a limit allows.
    """
    row: dict[str, str] = {}
    for part in _parts(body, _boundary(content_type)):
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank or len(head) > MAX_HEAD_BYTES:
            raise _refused("a part of the form has no head that ends")
        name = _name(head)
        if name in row:
            raise _refused(f"the form names {quoted(name)} twice")
        row[name] = _text(content, name)
    return row


def _boundary(content_type: bytes) -> bytes:
    found = BOUNDARY.search(content_type)
    if found is None:
        raise _refused("the content-type has no boundary of 1 to 70 characters")
    return found[1] or found[2]


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands between the boundaries: heads, each with its content."""
    line = b"\r\n--" + boundary
    if not body.startswith(line[2:]):
        raise _refused("the form does not begin with its boundary")
    if body.count(line) > MAX_PARTS:
        raise Refused(413, HandrailError("too_large", f"a form may have {MAX_PARTS:,} parts", "send JSON"))
    *parts, end = body[len(line) - 2 :].split(line)
    if end not in (b"--", b"--\r\n"):
        raise _refused("the form does not end with its boundary")
    if not all(part.startswith(b"\r\n") for part in parts):
        raise _refused("a boundary is not the end of its line")
    return [part[2:] for part in parts]


def _name(head: bytes) -> str:
    headers = dict(_header(line) for line in head.split(b"\r\n"))
    if headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
        raise _refused("forms inside forms are not read")
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in (b"7bit", b"8bit", b"binary"):
        raise _refused("parts that are packed are not read")
    found = NAME.match(headers.get(b"content-disposition", b""))
    if found is None:
        raise _refused("a part of the form has no name")
    plain = ESCAPED.sub(lambda part: part[1] or bytes.fromhex(part[2].decode()), found[1] or found[2] or b"")
    return _text(plain, "a name")


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(f"{quoted(name)} is not UTF-8 at byte {error.start}") from None


def _refused(problem: str) -> Refused:
    return Refused(400, HandrailError("usage", problem, "curl -F field=value -F field=value"))
