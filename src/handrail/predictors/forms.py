"""Forms as browsers and curl send them: texts, and files with their names and types."""

from __future__ import annotations

import io
import re
from typing import Final
from urllib.parse import parse_qsl

from handrail.core.errors import HandrailError
from handrail.predictors.multi import MultiDict

MAX_FIELDS: Final = 1_000
MAX_HEAD_BYTES: Final = 8_192
BOUNDARY: Final = re.compile(r"""; ?boundary=(?:"([^"\r\n]{1,200})"|([^\s;,"]{1,200}))""", re.I)
PARAMETER: Final = re.compile(rb""";\s*([A-Za-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]*))""")
ESCAPED: Final = re.compile(rb"\\([\"\\])|%(22|0D|0A)", re.I)


class UploadFile:
    """One file of a form: `file` reads its content, `filename` and `content_type` are what the client said."""

    def __init__(self, filename: str, content: bytes, content_type: str, headers: MultiDict) -> None:
        self.filename = filename
        self.content_type = content_type
        self.headers = headers
        self.size = len(content)
        self.file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or all that are left."""
        return self.file.read(size)

    def seek(self, offset: int) -> None:
        """Reads from there next."""
        self.file.seek(offset)

    def close(self) -> None:
        """Lets the content go."""
        self.file.close()

    def __repr__(self) -> str:
        return f"UploadFile({self.filename!r}, {self.size} bytes, {self.content_type!r})"


def urlencoded(body: bytes) -> MultiDict:
    """The fields of `a=1&b=2`. Raises HandrailError ("usage") when they are too many."""
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise refused(f"a form may have {MAX_FIELDS:,} fields") from None
    return MultiDict(pairs)


def multipart(body: bytes, content_type: str) -> MultiDict:
    """The parts of a form: texts, and an UploadFile where a part has a file name.

    Raises HandrailError ("usage") for what is no form.
    """
    found = BOUNDARY.search(content_type)
    if found is None:
        raise refused("the content-type of a form needs its boundary")
    return MultiDict(_field(part) for part in _parts(body, (found[1] or found[2]).encode("latin-1", "replace")))


def refused(problem: str) -> HandrailError:
    """The error of a form that cannot be read."""
    return HandrailError("usage", problem, "curl -F name=value -F file=@path")


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    """Heads, each with its content. What stands before the first boundary and after the last counts for nothing."""
    line = b"\r\n--" + boundary
    whole = b"\r\n" + body
    if whole.count(line) > MAX_FIELDS:
        raise refused(f"a form may have {MAX_FIELDS:,} fields")
    _, *parts = whole.split(line)
    ends = [place for place, part in enumerate(parts) if part.startswith(b"--")]
    if not ends:
        raise refused("the form does not end with its boundary")
    return [part.lstrip(b" \t").removeprefix(b"\r\n") for part in parts[: ends[0]]]


def _field(part: bytes) -> tuple[str, str | UploadFile]:
    head, blank, content = part.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_HEAD_BYTES:
        raise refused("a part of the form has no head that ends")
    headers = MultiDict(_headers(head), str.lower)
    parameters = _parameters(headers.get("content-disposition", "").encode("latin-1"))
    if "name" not in parameters:
        raise refused("a part of the form has no name")
    name = parameters["name"]
    if "filename" not in parameters:
        return name, _text(content)
    kind = headers.get("content-type", "application/octet-stream")
    return name, UploadFile(parameters["filename"], content, kind, headers)


def _headers(head: bytes) -> list[tuple[str, str]]:
    lines = [line.partition(b":") for line in head.split(b"\r\n")]
    return [(name.strip().decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in lines]


def _parameters(disposition: bytes) -> dict[str, str]:
    found = {}
    for name, quoted, plain in PARAMETER.findall(disposition):
        value = ESCAPED.sub(lambda part: part[1] or bytes.fromhex(part[2].decode()), quoted or plain)
        found[name.decode().lower()] = _text(value)
    return found


def _text(content: bytes) -> str:
    """UTF-8, as all browsers send it; other bytes one by one, so that none is lost."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
