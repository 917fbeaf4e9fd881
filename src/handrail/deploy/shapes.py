"""What one value of a file may be: in words, as JSON Schema, and as the function that reads it.

Whoever writes a table of keys takes shapes from here, so that what is read, what an error says, what an editor
completes and what the reference tells are one thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handrail.deploy import amounts
from handrail.deploy.problems import shown
from handrail.deploy.yaml import Node

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
MAX_TEXT: Final = 4096
YES_OR_NO: Final = {
    **dict.fromkeys(("yes", "on", "y", "1"), "write true"), **dict.fromkeys(("no", "off", "n", "0"), "write false"),
}  # fmt: skip
MAX_VARIABLE: Final = 100_000


@dataclass(frozen=True)
class Shape:
    """`words` say what is expected; `read` gives the value of a node, or raises ValueError, with a hint where it helps.

    `found` goes on from there with what lies on the disk, in or beside the project's folder: it raises ValueError with
    the whole problem. `show` writes a value as a file has it, for the reference."""

    words: str
    read: Callable[[Node], Any]
    schema: Mapping[str, Any]
    example: str
    show: Callable[[Any], str] = str
    found: Callable[[str, Path], Any] | None = None


def received(node: Node, *, secret: bool = False) -> str:
    """What stands in a file, for the end of a message; a secret is not said."""
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    if secret:
        return "a text" if isinstance(value, str) else "a number"
    return shown(value) if isinstance(value, str) else shown(node.written)[1:-1]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(low: int, high: int, *, example: int) -> Shape:
    """A whole number within a range."""

    def read(node: Node) -> int:
        if type(node.value) is not int:
            raise ValueError(_unquoted(node))
        return int(_within(node.value, low, high))

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Shape(f"a whole number from {low:,} to {high:,}", read, schema, str(example))


def number(low: float, high: float, *, example: float, above: bool = False, below: bool = False) -> Shape:
    """A number within a range; `above`: `low` itself is outside, `below`: `high` itself is."""

    def read(node: Node) -> float:
        if not is_number(node.value):
            raise ValueError(_unquoted(node))
        value = float(_within(node.value, low, high))  # type: ignore[arg-type]
        if (above and value == low) or (below and value == high):
            raise ValueError
        return value

    least, most = "exclusiveMinimum" if above else "minimum", "exclusiveMaximum" if below else "maximum"
    words = f"a number {'above' if above else 'from'} {low:,.9g} {'and below' if below else 'to'} {high:,.9g}"
    return Shape(words, read, {"type": "number", least: low, most: high}, f"{example:g}", lambda value: f"{value:g}")


def duration(low_s: float, high_s: float, *, example: str) -> Shape:
    """A span of time with its units, or a number of seconds."""

    def read(node: Node) -> float:
        return float(_within(_amount(node, amounts.seconds, "give it a unit: 10s, 500ms, 5m"), low_s, high_s))

    low, high = amounts.written_duration(low_s), amounts.written_duration(high_s)
    schema = _either("number", low_s, high_s, amounts.DURATION)
    return Shape(f"a duration from {low} to {high}", read, schema, example, amounts.written_duration)


def memory(low: int, high: int, *, example: str) -> Shape:
    """A size in bytes with a unit."""

    def read(node: Node) -> int:
        return int(_within(_amount(node, amounts.size_bytes, "write 512Mi or 2G"), low, high))

    words = f"a size from {amounts.written_size(low)} to {amounts.written_size(high)}"
    return Shape(words, read, _either("integer", low, high, amounts.MEMORY), example, amounts.written_size)


def cores(low: float, high: float, *, example: str) -> Shape:
    """Cores: 0.5, 2 or 500m."""

    def read(node: Node) -> float:
        return float(_within(_amount(node, amounts.cores, "write 0.5 or 500m"), low, high))

    words = f"cores from {low:g} to {high:,g}"
    return Shape(words, read, _either("number", low, high, amounts.CORES), example, lambda value: f"{value:g}")


def percentage(*, example: str) -> Shape:
    """A part of a hundred: 10 or 10%."""

    def read(node: Node) -> float:
        return float(_within(_amount(node, amounts.percents, "write 10 or 10%"), 0, 100))

    words = "a percentage from 0 to 100"
    return Shape(words, read, _either("number", 0, 100, amounts.PERCENT), example, lambda value: f"{value:g}")


def part(*, example: str) -> Shape:
    """A part of one: 0.1 or 10%."""

    def read(node: Node) -> float:
        return float(_within(_amount(node, lambda text: amounts.percents(text) / 100, "write 0.1 or 10%"), 0, 1))

    words = "a share from 0 to 1, or from 0% to 100%"
    return Shape(words, read, _either("number", 0, 1, amounts.PERCENT), example, lambda value: f"{value:g}")


def count_or_percentage(high: int, *, example: str) -> Shape:
    """A count, or a percentage that stays a text: 1 or 25%."""

    def read(node: Node) -> int | str:
        if type(node.value) is int:
            return int(_within(node.value, 0, high))
        if not isinstance(node.value, str):
            raise ValueError
        return f"{_within(amounts.percents(node.value), 0, 100):g}%"

    words = f"a whole number from 0 to {high:,} or a percentage from 0% to 100%"
    return Shape(words, read, _either("integer", 0, high, amounts.PERCENT), example)


def text(pattern: str, words: str, *, example: str, limit: int = MAX_TEXT, shows_pattern: bool = True) -> Shape:
    """A text on one line that a pattern fits; messages show the pattern, unless words say it better."""

    def read(node: Node) -> str:
        value = _text(node)
        if len(value) > limit or CONTROL.search(value) or re.fullmatch(pattern, value, re.ASCII) is None:
            raise ValueError
        return value

    schema = {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": limit}
    return Shape(f"{words} ({pattern})" if shows_pattern else words, read, schema, example)


def line(words: str, *, example: str, limit: int = 1000) -> Shape:
    """Any text on one line that is not empty."""

    def read(node: Node) -> str:
        value = _text(node)
        if not value.strip() or len(value) > limit or CONTROL.search(value):
            raise ValueError
        return value

    schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$", "maxLength": limit}
    return Shape(words, read, schema, example)


def one_of(*choices: str) -> Shape:
    """One of a few words."""

    def read(node: Node) -> str:
        if node.value not in choices or not isinstance(node.value, str):
            raise ValueError
        return node.value

    words = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return Shape(words, read, {"enum": list(choices)}, choices[0])


def flag() -> Shape:
    """true or false, and nothing that looks like it."""

    def read(node: Node) -> bool:
        if not isinstance(node.value, bool):
            raise ValueError(YES_OR_NO.get(str(node.value).lower(), ""))
        return node.value

    return Shape("true or false", read, {"type": "boolean"}, "true", lambda value: str(value).lower())


def variable() -> Shape:
    """What a variable of the environment may hold; a number or true is taken as it is written."""

    def read(node: Node) -> str:
        if node.value is None:
            raise ValueError('write "" for an empty text')
        if isinstance(node.value, list | dict) or "\0" in node.written or len(node.written) > MAX_VARIABLE:
            raise ValueError
        return node.written

    return Shape("a text", read, {"type": ["string", "number", "boolean"]}, "1")


def _text(node: Node) -> str:
    if isinstance(node.value, str):
        return node.value
    in_quotes = f'write it in quotes: "{node.written}"' if node.value is not None and node.written else ""
    raise ValueError(in_quotes)


def _amount(node: Node, read: Callable[[str], float], hint: str) -> float:
    """The number of a node, or the number that its text stands for."""
    if is_number(node.value):
        return node.value  # type: ignore[return-value]
    if not isinstance(node.value, str):
        raise ValueError
    try:
        return read(node.value)
    except ValueError:
        raise ValueError(hint) from None


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError
    return value


def _unquoted(node: Node) -> str:
    return "write it without quotes" if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", node.written, re.ASCII) else ""


def _either(kind: str, low: float, high: float, pattern: str) -> dict[str, Any]:
    """A number within a range, or a text that a pattern fits."""
    return {"anyOf": [{"type": kind, "minimum": low, "maximum": high}, {"type": "string", "pattern": f"^{pattern}$"}]}
