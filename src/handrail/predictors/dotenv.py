"""The lines of a `.env` file: NAME=value, with quotes and comments; nothing in them runs."""

from __future__ import annotations

import re
from typing import Final

from handrail.core.errors import HandrailError, clipped

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNED: Final = re.compile(r"\s*(?:export\s+)?([^=\s]+)\s*=\s*(.*?)\s*", re.S)
ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def variables_of(text: str, where: str = ".env") -> dict[str, str]:
    """The variables, the last of a name winning. Raises HandrailError ("data") that names the line.

    `$NAME` stays as it is: a value is a text, not a program.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, value = _assignment(line, f"{where} line {number}")
            found[name] = value
    return found


def _assignment(line: str, where: str) -> tuple[str, str]:
    found = ASSIGNED.fullmatch(line)
    if found is None or not NAME.fullmatch(found[1]):
        # The line may hold a secret: what it says is not repeated.
        problem = "expected NAME=value"
        if found is not None:
            problem += f", and '{clipped(found[1], 40)}' is no name"
        raise HandrailError("data", problem, "write one variable to a line: TOKEN=abc", where=where)
    return found[1], _value(found[2], where)


def _value(written: str, where: str) -> str:
    if "\0" in written:
        raise HandrailError("data", "a value cannot hold a NUL byte", "remove it", where=where)
    if written[:1] not in ("'", '"'):
        return re.split(r"(?:^|\s)#", written, maxsplit=1)[0].rstrip()
    quote = written[0]
    inside = r"((?:[^\"\\]|\\.)*)" if quote == '"' else "([^']*)"
    found = re.fullmatch(rf"{quote}{inside}{quote}\s*(?:#.*)?", written, re.S)
    if found is None:
        raise HandrailError("data", f"the quote {quote} is not closed", f"end the value with {quote}", where=where)
    return _unescaped(found[1]) if quote == '"' else found[1]


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text, flags=re.S)
