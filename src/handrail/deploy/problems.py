"""What is off in a file, each with its line and column, and all of it as one error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError, clipped

# More than a screen of problems helps nobody; the rest is counted.
SHOWN: Final = 30


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something begins in a file: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is off. `mend` None: the text says it all; `field`: the key meant, such as `compute.mem`."""

    place: Place
    text: str
    mend: str | None = None
    field: str | None = None


def refused(path: Path, problems: Sequence[Problem], mend: str = "correct this line, then try again") -> HandrailError:
    """One error for all problems of a file, in the order of its lines; a single one says where and how to mend it."""
    in_order = sorted(problems, key=lambda one: one.place)
    if len(in_order) == 1:
        only = in_order[0]
        return HandrailError("data", only.text, only.mend or mend, where=where(path, only.place), field=only.field)
    lines = [f"{len(in_order):,} things are off in {one_line(str(path))}:"]
    lines += [f"  {one_line(where(path, one.place))}: {one.text}" for one in in_order[:SHOWN]]
    if len(in_order) > SHOWN:
        lines.append(f"  and {len(in_order) - SHOWN:,} more")
    return HandrailError("data", "\n".join(lines), "correct these lines, then try again")


def where(path: Path, place: Place) -> str:
    """`handrail.yaml:7:5`, which terminals and editors turn into a link."""
    return f"{path}:{place.line}:{place.column}"


def one_line(text: str) -> str:
    """`text` without line ends, so that what a file holds cannot begin a line of a message."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") if "\n" in text else text


def shown(text: str, limit: int = 60) -> str:
    """`text` in quotes, on one line, cut to `limit`."""
    return f"'{one_line(clipped(text, limit))}'"
