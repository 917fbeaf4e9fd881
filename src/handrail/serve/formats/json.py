"""Our own JSON: one row in, one answer out; a list in, a list out; strict about what JSON may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.serve.limits import MAX_JSON_DEPTH, Refused

STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"')


def rows_of(body: bytes, signature: Signature) -> tuple[list[Any], bool]:
    """The rows in a body, and whether they were sent as a list. Raises Refused (400) with the place that is off."""
    value = parsed(body)
    if type(value) is list:
        return value, True
    if type(value) is dict and len(value) == 1 and type(value.get("rows")) is list and "rows" not in signature.names():
        return value["rows"], True
    return [value], False


def answers_of(answers: Sequence[bytes], many: bool) -> bytes:
    """The body of the response, from answers that are JSON already."""
    return b"[" + b",".join(answers) + b"]" if many else answers[0]


def parsed(body: bytes) -> Any:
    """The value of a JSON text: UTF-8, no NaN, no infinity, no name twice, at most 64 deep. Raises Refused (400)."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_json(body, error) from None
    kind = type(value)
    if kind is dict or kind is list:
        colons = body.count(b":")
        # Each name has a colon: as many colons as names means that no name was lost to its twin.
        if colons and colons != _names(value):
            _refuse_twins(body, value)
    return value


def _names(value: Any) -> int:
    if type(value) is dict:
        return len(value)
    return sum(len(row) for row in value if type(row) is dict)


def _refuse_twins(body: bytes, value: Any) -> None:
    names = _all_names(value, MAX_JSON_DEPTH)
    if STRINGS.sub(b"", body).count(b":") != names:
        raise _refused("an object names one field twice")


def _all_names(value: Any, room: int) -> int:
    """The names in a list or an object, and in all that it holds. Raises Refused where that goes deeper than `room`."""
    if value and not room:
        raise _refused(f"nested deeper than {MAX_JSON_DEPTH}")
    own, inner = (len(value), value.values()) if type(value) is dict else (0, value)
    return own + sum(_all_names(item, room - 1) for item in inner if type(item) is list or type(item) is dict)


def _not_json(body: bytes, error: orjson.JSONDecodeError) -> Refused:
    if not body.strip():
        return _refused("the body is empty")
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return _refused(f"nested deeper than {MAX_JSON_DEPTH}")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as found:
        return _refused(f"not UTF-8 at byte {found.start}")
    return _refused(f"not JSON at character {error.pos}: {error.msg}")


def _refused(problem: str) -> Refused:
    return Refused(400, HandrailError("usage", problem, "send one JSON row, or a list of rows"))
