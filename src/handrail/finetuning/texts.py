"""The text in a file of any size and encoding: whole, or evenly spread parts of it, never more than a bound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import charset_normalizer

from handrail.core.errors import HandrailError
from handrail.data.delimited import decoded
from handrail.data.read import SIGNATURES, open_plain

PART_BYTES: Final = 2**20
SNIFFED_BYTES: Final = 2**16
# Control characters that no text is full of; a file with one in a hundred of them is something else.
ODD_SHARE: Final = 0.01
# Closely related ones would only be taken for each other.
LIKELY: Final = ("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "shift_jis", "euc_jp", "gb18030",
                 "big5", "euc_kr")  # fmt: skip
MARKS: Final = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Text:
    """What was read of a file. `parts` is one text, or several where the file is larger than it may be."""

    parts: tuple[str, ...]
    read_bytes: int
    total_bytes: int
    notes: tuple[str, ...]


def read_text(path: Path, most_bytes: int, encoding: str | None = None) -> Text:
    """The text of a plain file. Raises HandrailError ("data") for what is none, with the mend."""
    where = str(path)
    with os.fdopen(open_plain(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= most_bytes:
            content = file.read(most_bytes + 1)
            text, notes = _decoded(content, encoding, where)
            return Text((_plain(text, where),), len(content), len(content), tuple(notes))
        first = file.read(PART_BYTES)
        _refuse_known(first, where)
        used = encoding or _encoding_of(first)
        count = max(1, most_bytes // PART_BYTES)
        parts = []
        for start in _starts(size, count):
            file.seek(start)
            parts.append(_trimmed(file.read(PART_BYTES), used, where))
    kept = tuple(_plain(part, where) for part in parts if part.strip())
    note = f"{size / 2**20:,.0f} MB are more than training gets to see: {count:,} MB are read, evenly spread over it"
    return Text(kept, count * PART_BYTES, size, (note,))


def _starts(size: int, count: int) -> Iterator[int]:
    """Places evenly spread over a file, each the beginning of four bytes, so that no wide character is halved."""
    room = size - PART_BYTES
    return (room * number // max(1, count - 1) // 4 * 4 for number in range(count))


def _trimmed(content: bytes, encoding: str, where: str) -> str:
    """A part from the middle of a file, without the lines that it has only halves of."""
    try:
        text = content.decode(encoding, errors="ignore")
    except LookupError as error:
        raise _unknown(encoding) from error
    begins, ends = text.find("\n"), text.rfind("\n")
    return text[begins + 1 : ends + 1] if 0 <= begins < ends else text


def _decoded(content: bytes, encoding: str | None, where: str) -> tuple[str, list[str]]:
    _refuse_known(content, where)
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff"), []
        except LookupError as error:
            raise _unknown(encoding) from error
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            problem = f"this is not {encoding}: byte 0x{content[error.start]:02x} cannot be"
            raise HandrailError("data", problem, "leave --encoding out", where=f"{where}, line {line}") from error
    found = _encoding_of(content[: PART_BYTES + 4])
    if found in ("utf-8-sig", "utf-16", "cp1252"):
        return decoded(content, where)
    return content.decode(found, errors="replace").removeprefix("\ufeff"), [f"the file is read as {found}"]


def _encoding_of(content: bytes) -> str:
    """The encoding of a text that begins so: by its mark, else UTF-8 where it is that, else the likeliest."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return encoding
    odd = content[:2000]
    if odd.count(b"\0") > len(odd) // 4:
        return "utf-16"
    if len(content.decode("utf-8", errors="ignore").encode()) > len(content) - 4:
        return "utf-8-sig"
    found = charset_normalizer.from_bytes(_around_oddities(content), cp_isolation=list(LIKELY)).best()
    return "cp1252" if found is None else found.encoding


def _around_oddities(content: bytes) -> bytes:
    """A piece that is small enough to be looked at closely, from the first byte on that is not plain."""
    start = next((place for place, byte in enumerate(content) if byte >= 0x80), 0)
    start = content.rfind(b"\n", 0, start) + 1
    return content[start : start + SNIFFED_BYTES]


def _refuse_known(content: bytes, where: str) -> None:
    for signature, meaning in SIGNATURES.items():
        if content.startswith(signature):
            raise HandrailError("data", f"this looks like {meaning.split(':')[0]}, not text", "give text", where=where)


def _plain(text: str, where: str) -> str:
    sample = text[:100_000]
    odd = sum(char < " " and char not in "\t\n\r\f\x1b" for char in sample) + sample.count("\ufffd")
    if odd > ODD_SHARE * len(sample):
        raise HandrailError("data", "most of it is no text", "save it as plain text in UTF-8", where=where)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unknown(encoding: str) -> HandrailError:
    return HandrailError("usage", f"there is no encoding '{encoding[:40]}'", "for example --encoding cp1251",
                         field="encoding")  # fmt: skip
