"""Finds the names of special tokens in a text, the longest at each place, as quickly for thousands as for one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

# Names within names within names: beyond so many levels they are only listed, since Python's patterns nest no deeper.
MOST_LEVELS: Final = 50


def pattern_of(names: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds any of the names. Gemma has 6,242 that begin alike, and a pattern that lists them takes a
    minute over a text full of beginnings."""
    return re.compile(_alternatives(sorted(names), 0))


def _alternatives(names: Sequence[str], level: int) -> str:
    """The pattern of sorted names that are not empty; those with the same first letter share a branch."""
    if level >= MOST_LEVELS:
        return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return "|".join(_branch(list(some), level) for _, some in groupby(names, key=lambda name: name[0]))


def _branch(names: Sequence[str], level: int) -> str:
    first, last = names[0], names[-1]
    differ = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    shared = first[: next(differ, len(first))]  # They are sorted: what the outermost share, all do.
    rests = [name[len(shared) :] for name in names if name != shared]
    if not rests:
        return re.escape(shared)
    return f"{re.escape(shared)}(?:{_alternatives(rests, level + 1)}){'?' if shared in names else ''}"
