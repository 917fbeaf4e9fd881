"""JSON as the standard has it, no name twice and no NaN; and any value as one line of it."""

from __future__ import annotations

import json
from typing import Any


def value_of(text: str | bytes) -> Any:
    """The value that a text is. Raises ValueError (RecursionError where it is nested too deep)."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def line_of(value: Any) -> str:
    """One line of JSON in which nothing can steer a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def is_deeper(value: Any, limit: int) -> bool:
    """True when lists and objects are nested deeper than `limit`."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number")
